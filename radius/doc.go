// Package radius is everything that speaks RADIUS and holds no policy.
package radius
