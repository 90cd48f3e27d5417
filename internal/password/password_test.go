package password

import (
	"strings"
	"testing"
)

// Vectors: the argon2 reference implementation's tests, Openwall's crypt_blowfish, Drepper's SHA-crypt specification, and
// the exchange of RFC 7677 §3.
var vectors = []struct{ secret, password string }{
	{"{ARGON2ID}$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password"},
	{"{BLF-CRYPT}$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
	{"{BLF-CRYPT}$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
	{"{SHA512-CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", "Hello world!"},
	{"{SHA512-CRYPT}$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.", "Hello world!"},
	{"{SCRAM-SHA-256}4096$W22ZaJ0SNY7soEsUEjb6gQ==:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", "pencil"},
}

func TestVectors(t *testing.T) {
	t.Parallel()
	for _, v := range vectors {
		s, err := ParseSecret(v.secret)
		if err != nil {
			t.Errorf("%s: %v", v.secret, err)
			continue
		}
		if !s.Verify(v.password) {
			t.Errorf("%s: refuses its password", v.secret)
		}
		for _, wrong := range []string{"", v.password + "x", strings.ToUpper(v.password) + "!", strings.Repeat("x", MaxPassword+1)} {
			if s.Verify(wrong) {
				t.Errorf("%s: accepts %.20q", v.secret, wrong)
			}
		}
		if s.String() != v.secret {
			t.Errorf("%s is printed as %s", v.secret, s)
		}
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ secret, password, want string }{
		{strings.Replace(vectors[1].secret, "BLF-CRYPT", "CRYPT", 1), "U*U", vectors[1].secret},
		{strings.Replace(vectors[3].secret, "SHA512-CRYPT", "CRYPT", 1), "Hello world!", vectors[3].secret},
		{strings.NewReplacer("$", ",", ":", ",").Replace(vectors[5].secret), "pencil", vectors[5].secret},
	} {
		s, err := ParseSecret(tt.secret)
		if err != nil {
			t.Errorf("%s: %v", tt.secret, err)
			continue
		}
		if !s.Verify(tt.password) || s.String() != tt.want {
			t.Errorf("%s: got %s", tt.secret, s)
		}
	}
}

func TestBadSecrets(t *testing.T) {
	t.Parallel()
	const key = "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, s := range []string{
		"", "secret", "{PLAIN}secret", "{ARGON2ID}", "{CRYPT}$5$salt$hash", "{MD5-CRYPT}$1$x$y",
		"{ARGON2ID}$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$" + key,
		"{ARGON2ID}$argon2id$v=16$m=65536,t=2,p=1$c29tZXNhbHQ$" + key,
		"{ARGON2ID}$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$" + key,
		"{ARGON2ID}$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$" + key,
		"{ARGON2ID}$argon2id$v=19$m=262144,t=5,p=1$c29tZXNhbHQ$" + key,
		"{ARGON2ID}$argon2id$v=19$m=65536,t=0,p=1$c29tZXNhbHQ$" + key,
		"{ARGON2ID}$argon2id$v=19$m=65536,t=1,p=0$c29tZXNhbHQ$" + key,
		"{ARGON2ID}$argon2id$v=19$m=64,t=1,p=9$c29tZXNhbHQ$" + key,
		"{ARGON2ID}$argon2id$v=19$m=65536,t=1,p=257$c29tZXNhbHQ$" + key,
		"{ARGON2ID}$argon2id$v=19$m=65536,t=2,p=1,x=1$c29tZXNhbHQ$" + key,
		"{ARGON2ID}$argon2id$v=19$m=65536,t=2,p=1$YQ$" + key,
		"{ARGON2ID}$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$YQ",
		"{ARGON2ID}$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$",
		"{BLF-CRYPT}$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"{BLF-CRYPT}$2a$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"{BLF-CRYPT}$2a$17$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"{BLF-CRYPT}$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe=",
		"{BLF-CRYPT}$2a$05$short",
		"{SHA512-CRYPT}$6$rounds=999999999$saltstring$" + strings.Repeat("a", 86),
		"{SHA512-CRYPT}$6$rounds=10$saltstring$" + strings.Repeat("a", 86),
		"{SHA512-CRYPT}$6$saltstringsaltstring$" + strings.Repeat("a", 86),
		"{SHA512-CRYPT}$6$salt$" + strings.Repeat("a", 85),
		"{SHA512-CRYPT}$6$salt$" + strings.Repeat("!", 86),
		"{SCRAM-SHA-256}1$W22ZaJ0SNY7soEsUEjb6gQ==:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		"{SCRAM-SHA-256}2000000000$W22ZaJ0SNY7soEsUEjb6gQ==:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		"{SCRAM-SHA-256}4096$W22ZaJ0SNY7soEsUEjb6gQ==:WG5d:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		"{SCRAM-SHA-256}4096$:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		"{SCRAM-SHA-256}4096",
	} {
		if got, err := ParseSecret(s); err == nil {
			t.Errorf("%q is read as %v", s, got)
		}
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	const pw = "correct horse ñ"
	a, err := NewArgon2id(pw, 1) // brought up to the smallest
	if err != nil {
		t.Fatal(err)
	}
	if a.memory != smallestMemory>>10 {
		t.Errorf("memory %d KiB", a.memory)
	}
	salt, err := NewSCRAMSalt()
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewSCRAM(pw, salt, minIterations)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Secret{a, k} {
		back, err := ParseSecret(s.String())
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		if !back.Verify(pw) || back.Verify("correct horse n") {
			t.Errorf("%s does not verify", s)
		}
	}
	if !k.Verify("correct horse n\u0303") {
		t.Error("SCRAM keys do not normalise")
	}
	if _, err := NewArgon2id(strings.Repeat("x", MaxPassword+1), 0); err == nil {
		t.Error("a password of any length is hashed")
	}
}

func TestDecoyMatchesNothing(t *testing.T) {
	t.Parallel()
	d := Decoy(smallestMemory)
	for _, pw := range []string{"", "\x00", "password"} {
		if d.Verify(pw) {
			t.Errorf("the decoy accepts %q", pw)
		}
	}
}

func TestArgonParameterBounds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ memory, want int64 }{{0, defaultMemory}, {1, smallestMemory}, {1 << 40, maxArgonMemory << 10}, {32 << 20, 32 << 20}} {
		if got := int64(newArgonParameters(tt.memory).memory) << 10; got != tt.want {
			t.Errorf("%d: got %d, want %d", tt.memory, got, tt.want)
		}
	}
}
