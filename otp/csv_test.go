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
			"b,2," + secretB + "\n" +
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
				"line 3: time interval must be 30 or 60; got \"\"",
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
		{name: "no header", in: "a,1," + secretA + ",30,m,m\n", err: fmt.Sprintf("line 1: must be the header %q", CSVHeader)},
		{name: "a column is missing", in: "upn,serial number,secret key,manufacturer,model\n",
			err: fmt.Sprintf("line 1: must be the header %q; there is no column \"time interval\"", CSVHeader)},
		{name: "a column twice", in: "upn,serial number,serial,secret key,time interval\n", err: `line 1: column "serialnumber" is there twice`},
		{name: "PSKC", in: "<?xml version=\"1.0\"?>\n", err: "line 1: the file is XML, such as PSKC: ask the maker for Entra's CSV"},
		{name: "a spreadsheet", in: "PK\x03\x04\x14\x00\x06\x00", err: "file is not text: save it as UTF-8"},
		{name: "too large", in: head + strings.Repeat("\n", maxCSV), err: "file must be at most 16 MiB"},
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

// TestMakersCSV: what makers ship and what spreadsheets make of it.
func TestMakersCSV(t *testing.T) {
	const want = "bob 0060234567 30 SHA1 6 Token2 c202\n"
	row := func(line string) string { return strings.ReplaceAll(line, "SECRET", secretA) }
	secret, err := ParseSecret(secretA)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, in, want string }{
		{"timeinterval", row("upn,serial number,secret key,timeinterval,manufacturer,model\nbob,0060234567,SECRET,30,Token2,c202\n"), want},
		{"capitals, underscores, blanks, brackets", row("UPN, Serial_Number ,SecretKey,Time Interval (sec),Manufacturer,Model\nbob,0060234567,SECRET,30,Token2,c202\n"), want},
		{"another order, no maker", row("serial;secret;user;period\r\n0060234567;SECRET;bob;60\r\n"), "bob 0060234567 60 SHA1 6 \n"},
		{"semicolons", row("upn;serial number;secret key;time interval;manufacturer;model\nbob;0060234567;SECRET;30;Token2;c202\n"), want},
		{"sep=", row("sep=;\r\nupn;serial number;secret key;time interval;manufacturer;model\r\nbob;0060234567;SECRET;30;Token2;c202\r\n"), want},
		{"tabs", row("upn\tserial number\tsecret key\ttime interval\tmanufacturer\tmodel\nbob\t0060234567\tSECRET\t30\tToken2\tc202\n"), want},
		{"tabs with an empty field", row("upn\tserial number\tsecret key\ttime interval\tmanufacturer\tmodel\nbob\t0060234567\tSECRET\t30\t\tc202\n"),
			"bob 0060234567 30 SHA1 6 c202\n"},
		{"UTF-16", "\xff\xfe" + strings.ReplaceAll(row("upn\tserial number\tsecret key\ttime interval\tmanufacturer\tmodel\r\nbob\t0060234567\tSECRET\t30\tToken2\tc202\r\n"), "", "\x00")[1:] + "",
			want},
		{"empty columns and rows", row("upn,serial number,secret key,time interval,manufacturer,model,,,\nbob,0060234567,SECRET,30,Token2,c202,,,\n,,,,,,,,\n\n;;;\n"), want},
		{"a column more", row("upn,serial number,secret key,time interval,manufacturer,model,remark\nbob,0060234567,SECRET,30,Token2,c202,green\n"), want},
		{"texts of a spreadsheet", row("upn,serial number,secret key,time interval,manufacturer,model\nbob,\"=\"\"0060234567\"\"\",'SECRET,30.0,Token2,c202\n"), want},
		{"rows in one cell", row("\"upn,serial number,secret key,time interval,manufacturer,model\"\n\"bob,0060234567,SECRET,30,Token2,c202\"\n"), want},
		{"blanks that nobody sees", row("\u00a0upn,serial number,secret key,time interval,manufacturer,model\nbob\u00a0,\u200b0060234567,SECRET ,30 s,Token2,c202\n"), want},
		{"secret in groups, lower case, padded", row("upn,serial number,secret key,time interval,manufacturer,model\nbob,0060234567," +
			strings.ToLower(secretA[:4]+" "+secretA[4:12]+"-"+secretA[12:]) + "======,30,Token2,c202\n"), want},
		{"hash function and digits", row("upn,serial number,secret key,time interval,hashFunction,digits\nbob,0060234567,SECRET,30,hmacsha256,8\n"), "bob 0060234567 30 SHA256 8 \n"},
		{"hexadecimal", "upn,serial number,secret key (hex),time interval\nbob,0060234567,3132333435363738393031323334353637383930,30\n", "bob 0060234567 30 SHA1 6 \n"},
		{"hexadecimal under the wrong name", "upn,serial number,secret key,time interval\nbob,0060234567,3132333435363738393031323334353637383930,30\n",
			"2: the secret is hexadecimal, not base32: call its column \"secret key hex\"\n"},
		{"rounded", row("upn,serial number,secret key,time interval\nbob,6.02346E+14,SECRET,30\nann,7,1.2E+31,30\n"),
			"2: serial number \"6.02346E+14\" was rounded by a spreadsheet: take it from the maker's file\n" +
				"3: the secret was rounded by a spreadsheet: take it from the maker's file\n"},
		{"another number of digits", row("upn,serial number,secret key,time interval,digits,algorithm\nbob,1,SECRET,30,7,\nann,2,SECRET,30,6,MD5\n"),
			"2: digits must be 6 or 8; got \"7\"\n3: hash function must be SHA1, SHA256 or SHA512; got \"MD5\"\n"},
		{"Windows-1252, as a spreadsheet saves CSV", row("upn;serial number;secret key;time interval;manufacturer;model\r\nJ\xfcrgen;1;SECRET;30;Ger\xe4te;\x80\r\nx\x81y;2;SECRET;30;;\r\n"),
			"Jürgen 1 30 SHA1 6 Geräte €\n3: the user has a character that is damaged: save the file as UTF-8\n"},
		{"a secret in groups, with no-break spaces and dashes", row("upn,serial number,secret key,time interval\nbob,0060234567," +
			secretA[:4] + "\u00a0" + secretA[4:8] + "\u2013" + secretA[8:] + ",30\n"), "bob 0060234567 30 SHA1 6 \n"},
		{"tokens that count among them", row("upn,serial number,secret key,time interval,Token Type\nann,1,SECRET,30,OATH-HOTP\nbob,0060234567,SECRET,30,TOTP hardware\ncy,2,SECRET,30,event-based\n"),
			"bob 0060234567 30 SHA1 6 \n" +
				"2: the token counts (\"OATH-HOTP\"), and such files are of tokens with a clock: radmatch totp add --hotp\n" +
				"4: the token counts (\"event-based\"), and such files are of tokens with a clock: radmatch totp add --hotp\n"},
		{"more than the header", row("upn,serial number,secret key,time interval\nbob,1,SECRET,30,x\n"), "2: must have 4 fields; got 5\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rows, bad, err := ReadCSV(strings.NewReader(tt.in))
			var got strings.Builder
			for _, r := range rows {
				fmt.Fprintf(&got, "%s %s %d %s %d %s\n", r.Token.User, r.Token.Serial, r.Token.Period, r.Token.Algorithm, r.Token.Digits, r.Token.Label)
				if tt.name != "hexadecimal" && !slices.Equal(r.Token.Secret, secret) {
					t.Error("got another secret than that of the row; want the same")
				}
			}
			for _, b := range bad {
				fmt.Fprintf(&got, "%d: %s\n", b.Line, b.Problem)
			}
			if err != nil || got.String() != tt.want {
				t.Errorf("got %q, %v; want %q", got.String(), err, tt.want)
			}
		})
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add(CSVHeader + "\nHelga@contoso.com,1234567," + secretA + ",60,Contoso,HardwareKey\n")
	f.Add("\ufeff" + CSVHeader + "\r\n\"a\",1," + secretA + ",30,\"m,m\",m\r\n\"\n")
	f.Add(CSVHeader + "\n0\r0") // a CR without a LF ends a line too
	f.Fuzz(func(t *testing.T, in string) {
		rows, bad, err := ReadCSV(strings.NewReader(in))
		if err != nil && (rows != nil || bad != nil) {
			t.Error("got rows beside an error; want none")
		}
		if n := strings.Count(in, "\n") + strings.Count(in, "\r") + 1; len(rows)+len(bad) >= n && n > 1 {
			t.Errorf("%d lines have %d rows and %d bad ones", n, len(rows), len(bad))
		}
		serials := map[string]bool{}
		for _, r := range rows {
			if err := r.Token.Validate(); err != nil {
				t.Errorf("line %d: got error %v; want none", r.Line, err)
			}
			if serials[strings.ToLower(r.Token.Serial)] {
				t.Errorf("line %d: serial number %s twice", r.Line, r.Token.Serial)
			}
			serials[strings.ToLower(r.Token.Serial)] = true
		}
	})
}
