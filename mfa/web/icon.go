package web

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
)

// The icons of the page as bitmaps, for phones that take no SVG. They are drawn
// when they are first asked for, so that no binary file has to agree with
// page/icon.svg: the shapes here are those there.

// bitmap is one of them.
type bitmap struct {
	size    int
	rounded bool // else it fills its square, for systems that cut the corners themselves
}

var icons = map[string]bitmap{
	"icon-180.png":      {180, false}, // iOS
	"icon-192.png":      {192, true},
	"icon-512.png":      {512, true},
	"icon-maskable.png": {512, false},
}

// canvas is the width of the drawing; corner the radius of its corners.
const (
	canvas = 512.0
	corner = 116.0
)

// png draws the icon, with four samples by four a pixel.
func (b bitmap) png() []byte {
	const samples = 4
	img := image.NewNRGBA(image.Rect(0, 0, b.size, b.size))
	scale := canvas / float64(b.size*samples)
	for y := range b.size {
		for x := range b.size {
			inside, white := 0, 0
			for i := range samples * samples {
				p := point{(float64(x*samples+i%samples) + .5) * scale, (float64(y*samples+i/samples) + .5) * scale}
				if b.rounded && !inSquare(p) {
					continue
				}
				inside++
				if onMark(p) {
					white++
				}
			}
			img.SetNRGBA(x, y, shade(float64(y)/float64(b.size), inside, white, samples*samples))
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		panic("web: internal error: " + err.Error()) // only for an image that is too large
	}
	return out.Bytes()
}

// shade is the colour of a pixel at a height from 0 to 1: white on blue.
func shade(height float64, inside, white, all int) color.NRGBA {
	if inside == 0 {
		return color.NRGBA{}
	}
	part := float64(white) / float64(inside)
	mix := func(top, bottom float64) uint8 {
		blue := top + (bottom-top)*height
		return uint8(math.Round(blue + (255-blue)*part))
	}
	return color.NRGBA{mix(0x4f, 0x24), mix(0x7b, 0x47), mix(0xff, 0xd8), uint8(255 * inside / all)}
}

type point struct{ x, y float64 }

func (p point) to(q point) float64 { return math.Hypot(p.x-q.x, p.y-q.y) }

// inSquare reports whether p is in the square with round corners.
func inSquare(p point) bool {
	nearest := point{min(max(p.x, corner), canvas-corner), min(max(p.y, corner), canvas-corner)}
	return p.to(nearest) <= corner
}

// onMark reports whether p is on the ring, which is open at the top right, or on
// the tick that leaves it there.
func onMark(p point) bool {
	const radius, ring, tick = 132, 36, 42
	centre, begin, end := point{256, 256}, point{388, 256}, point{301.1, 132}
	angle := math.Atan2(p.y-centre.y, p.x-centre.x) // clockwise from the right, as y grows downwards
	open := angle < 0 && angle > math.Atan2(end.y-centre.y, end.x-centre.x)
	if !open && math.Abs(p.to(centre)-radius) <= ring/2 || p.to(begin) <= ring/2 || p.to(end) <= ring/2 {
		return true
	}
	low := point{248, 304}
	return p.toLine(point{196, 252}, low) <= tick/2 || p.toLine(low, point{364, 172}) <= tick/2
}

// toLine is the distance of p from the line between a and b.
func (p point) toLine(a, b point) float64 {
	dx, dy := b.x-a.x, b.y-a.y
	along := min(max(((p.x-a.x)*dx+(p.y-a.y)*dy)/(dx*dx+dy*dy), 0), 1)
	return p.to(point{a.x + along*dx, a.y + along*dy})
}
