package otp

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	secretA = "2234567abcdef2234567abcdef"
	secretB = "3334567abcdef2234567abcdef"
)

func TestReadCSV(t *testing.T) {
	head := CSVHeader + "\n"
	tests := []struct {
		name, in string
		rows     string   // line user serial period label
		bad      []string // line: problem
		err      string
	}{
		{name: "Entra's example", in: head + "Helga@contoso.com,1234567," + secretA + ",60,Contoso,HardwareKey",
			rows: "2 Helga@contoso.com 1234567 60 Contoso HardwareKey\n"},
		{name: "byte order mark, CRLF, blank lines, spaces, quotes, case",
			in:   "\ufeffUPN, Serial Number,secret key,Time Interval,manufacturer,MODEL\r\n\r\n\"bob\", 1 ,\"" + secretA + "\",30,\"Acme, Inc \"\"A\"\"\",\r\n",
			rows: "3 bob 1 30 Acme, Inc \"A\"\n"},
		{name: "nothing but the header", in: CSVHeader},
		{name: "every bad row, and the good ones between", in: head +
			"a,1," + secretA + ",30,m,m\n" +
			"b,2," + secretB + ",30,m\n" +
			"c,3,not base32!,30,m,m\n" +
			"d,4,MZXW6YTB,30,m,m\n" +
			"e,5," + secretB + ",45,m,m\n" +
			",6," + secretB + ",30,m,m\n" +
			"g,," + secretB + ",30,m,m\n" +
			"h,\"8," + secretB + ",30,m,m\n" +
			"i,9," + secretB + ",30,m\x1bm,m\n" +
			"j,1," + secretB + ",30,m,m\n" +
			"a,1," + secretA + ",30,m,m\n" +
			"k,11," + secretA + ",30,m,m\n" +
			"l,12," + secretB + ",30,m,m,extra\n" +
			strings.Repeat("x", maxLine) + ",,,,,\n" +
			"n,14," + secretB + ",60,,\n",
			rows: "2 a 1 30 m m\n16 n 14 60 \n",
			bad: []string{
				"line 3: must have 6 fields; got 5",
				"line 4: character 10 of the secret is not base32 (A-Z, 2-7)",
				"line 5: secret has 5 bytes; need at least 10",
				`line 6: time interval must be 30 or 60; got "45"`,
				"line 7: user is empty",
				"line 8: serial number is empty",
				"line 9: a quoted field is not closed, or has a quote in it",
				"line 10: label has characters that cannot be printed",
				`line 11: serial number "1" stands in line 2 already`,
				"line 12: the same token as in line 2",
				"line 13: the same secret as in line 2",
				"line 14: must have 6 fields; got 7",
				"line 15: line is longer than 4096 bytes",
			}},
		{name: "empty", in: "", err: fmt.Sprintf("file is empty; the first line must be the header %q", CSVHeader)},
		{name: "no header", in: "a,1," + secretA + ",30,m,m\n", err: fmt.Sprintf("line 1: must be the header %q, separated by commas", CSVHeader)},
		{name: "semicolons", in: strings.ReplaceAll(CSVHeader, ",", ";"), err: fmt.Sprintf("line 1: must be the header %q, separated by commas", CSVHeader)},
		{name: "too large", in: head + strings.Repeat("\n", maxCSV), err: "file is larger than 16 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rows, bad, err := ReadCSV(strings.NewReader(tt.in))
			if got := errText(err); got != tt.err {
				t.Fatalf("got error %q; want %q", got, tt.err)
			}
			var got strings.Builder
			for _, r := range rows {
				fmt.Fprintf(&got, "%d %s %s %d %s\n", r.Line, r.Token.User, r.Token.Serial, r.Token.Period, r.Token.Label)
			}
			if got.String() != tt.rows {
				t.Errorf("rows\n got %s\nwant %s", got.String(), tt.rows)
			}
			var problems []string
			for _, b := range bad {
				problems = append(problems, fmt.Sprintf("line %d: %s", b.Line, b.Problem))
			}
			if !slices.Equal(problems, tt.bad) {
				t.Errorf("bad rows\n got %s\nwant %s", strings.Join(problems, "\n     "), strings.Join(tt.bad, "\n     "))
			}
		})
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add(CSVHeader + "\nHelga@contoso.com,1234567," + secretA + ",60,Contoso,HardwareKey\n")
	f.Add("\ufeff" + CSVHeader + "\r\n\"a\",1," + secretA + ",30,\"m,m\",m\r\n\"\n")
	f.Fuzz(func(t *testing.T, in string) {
		rows, bad, err := ReadCSV(strings.NewReader(in))
		if err != nil && (rows != nil || bad != nil) {
			t.Error("an error with rows")
		}
		if n := strings.Count(in, "\n") + 1; len(rows)+len(bad) >= n && n > 1 {
			t.Errorf("%d lines have %d rows and %d bad ones", n, len(rows), len(bad))
		}
		serials := map[string]bool{}
		for _, r := range rows {
			if err := r.Token.Validate(); err != nil {
				t.Errorf("line %d: %v", r.Line, err)
			}
			if serials[strings.ToLower(r.Token.Serial)] {
				t.Errorf("line %d: serial number %s twice", r.Line, r.Token.Serial)
			}
			serials[strings.ToLower(r.Token.Serial)] = true
		}
	})
}
