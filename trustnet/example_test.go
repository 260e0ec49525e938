package trustnet_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/seed-94e48765/portico/trustnet"
)

func Example() {
	// As in an environment variable: TRUSTED_PROXIES=10.0.0.0/8, loopback
	trusted, err := trustnet.Parse("10.0.0.0/8, loopback")
	if err != nil {
		fmt.Fprintln(os.Stderr, "TRUSTED_PROXIES:", err)
		os.Exit(1)
	}
	for _, peer := range []string{"10.1.2.3", "::1", "203.0.113.7"} {
		fmt.Println(peer, trusted.Contains(netip.MustParseAddr(peer)))
	}
	// Output:
	// 10.1.2.3 true
	// ::1 true
	// 203.0.113.7 false
}

func ExampleParse() {
	s, err := trustnet.Parse("192.0.2.7", "2001:db8::/32", "private", "unix")
	fmt.Println(s, err)

	_, err = trustnet.Parse("192.0.2.7", "10.1.2.3/8")
	fmt.Println(err)
	fmt.Println(errors.Is(err, trustnet.ErrHostBits))
	// Output:
	// 10.0.0.0/8,172.16.0.0/12,192.0.2.7,192.168.0.0/16,2001:db8::/32,fc00::/7,unix <nil>
	// trustnet: item 2: "10.1.2.3/8": host bits set: write 10.0.0.0/8 for the network or 10.1.2.3/32 for the one address
	// true
}

func ExampleParse_exclusions() {
	s, err := trustnet.Parse("10.0.0.0/29", "!10.0.0.7") // all but the monitoring host
	fmt.Println(s, err)
	fmt.Println(s.Contains(netip.MustParseAddr("10.0.0.7")))
	// Output:
	// 10.0.0.0/30,10.0.0.4/31,10.0.0.6 <nil>
	// false
}

func ExampleParseMasked() {
	fmt.Println(trustnet.ParseMasked("192.168.0.1/24"))
	fmt.Println(trustnet.Parse("192.168.0.1/24"))
	// Output:
	// 192.168.0.0/24 <nil>
	//  trustnet: item 1: "192.168.0.1/24": host bits set: write 192.168.0.0/24 for the network or 192.168.0.1/32 for the one address
}

func ExampleSet_Union() {
	configured, builtin := trustnet.MustParse("192.0.2.10"), trustnet.MustParse("loopback")
	fmt.Println(configured.Union(builtin))
	// Output:
	// 127.0.0.0/8,192.0.2.10,::1
}

func ExampleSet_Without() {
	private, guests := trustnet.MustParse("10.0.0.0/8"), trustnet.MustParse("10.128.0.0/9")
	fmt.Println(private.Without(guests))
	// Output:
	// 10.0.0.0/9
}

func ExampleParseError() {
	_, err := trustnet.Parse("loopback", "fe80::1%eth0")
	var pe *trustnet.ParseError
	if errors.As(err, &pe) {
		fmt.Printf("%d %q: %v\n", pe.Index, pe.Item, pe.Err)
	}
	// Output:
	// 1 "fe80::1%eth0": zones are not supported: remove %eth0
}

func ExampleMustParse() {
	var internal = trustnet.MustParse("loopback", "private")
	fmt.Println(internal.Contains(netip.MustParseAddr("192.168.1.1")))
	// Output:
	// true
}

func ExampleRead() {
	const file = `# load balancers
192.0.2.16/28   # Frankfurt
2001:db8:1::/48

loopback
`
	s, err := trustnet.Read(strings.NewReader(file))
	fmt.Println(s, err)

	_, err = trustnet.Read(strings.NewReader(file + "lb.example.com\n"))
	fmt.Println(err)
	// Output:
	// 127.0.0.0/8,192.0.2.16/28,::1,2001:db8:1::/48 <nil>
	// trustnet: line 6: "lb.example.com": not an IP address, a network such as 10.0.0.0/8, or one of loopback, private, linklocal, unix: if it is a DNS name, list its addresses
}

func ExampleFromPrefixes() {
	s, err := trustnet.FromPrefixes(
		netip.MustParsePrefix("10.0.0.0/9"),
		netip.MustParsePrefix("10.128.0.0/9"),
	)
	fmt.Println(s, err)
	// Output:
	// 10.0.0.0/8 <nil>
}

func ExampleSet_Contains() {
	s := trustnet.MustParse("10.0.0.0/8", "linklocal")
	fmt.Println(s.Contains(netip.MustParseAddr("::ffff:10.1.2.3"))) // as a dual-stack socket gives it
	fmt.Println(s.Contains(netip.MustParseAddr("fe80::1%eth0")))

	var noPeer *trustnet.Set
	fmt.Println(noPeer.Contains(netip.MustParseAddr("127.0.0.1")))
	// Output:
	// true
	// true
	// false
}

func ExampleSet_ContainsAddr() {
	s := trustnet.MustParse("10.0.0.0/8", "unix")
	fmt.Println(s.ContainsAddr(&net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 40000}))
	fmt.Println(s.ContainsAddr(&net.UnixAddr{Name: "@", Net: "unix"}))
	fmt.Println(s.ContainsAddr(&net.TCPAddr{IP: net.IPv6loopback, Port: 40000}))
	// Output:
	// true
	// true
	// false
}

func ExampleSet_TrustsAll() {
	fmt.Println(trustnet.MustParse("0.0.0.0/0", "!10.0.0.0/8").TrustsAll())
	fmt.Println(trustnet.MustParse("private").TrustsAll())
	// Output:
	// true
	// false
}

func ExampleSet_Prefixes() {
	for _, p := range trustnet.MustParse("loopback", "127.0.0.1", "10.0.0.3", "10.0.0.2").Prefixes() {
		fmt.Println(p)
	}
	// Output:
	// 10.0.0.2/31
	// 127.0.0.0/8
	// ::1/128
}

func ExampleSet_UnmarshalText_flag() {
	var trusted trustnet.Set
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	flags.TextVar(&trusted, "trusted", new(trustnet.Set), "networks of trusted proxies, separated by commas")

	flags.Parse([]string{"-trusted", "10.0.0.0/8, unix"})
	fmt.Println(&trusted)
	// Output:
	// 10.0.0.0/8,unix
}

func ExampleSet_UnmarshalJSON() {
	var config struct {
		Trusted *trustnet.Set `json:"trusted"`
	}
	for _, text := range []string{
		`{"trusted": ["10.0.0.0/8", "::1"]}`,
		`{"trusted": "10.0.0.0/8, ::1"}`,
	} {
		if err := json.Unmarshal([]byte(text), &config); err != nil {
			fmt.Println(err)
		}
		out, err := json.Marshal(config)
		fmt.Println(string(out), err)
	}
	// Output:
	// {"trusted":"10.0.0.0/8,::1"} <nil>
	// {"trusted":"10.0.0.0/8,::1"} <nil>
}

func ExampleLive() {
	var live trustnet.Live // a Source, for the configuration of a listener
	live.Store(trustnet.MustParse("10.0.0.0/8"))

	reload := func(list string) {
		s, err := trustnet.Read(strings.NewReader(list))
		if err != nil {
			fmt.Println("keeping the old list:", err)
			return
		}
		live.Store(s)
	}
	reload("10.0.0.0/8\n192.0.2.0/33\n")
	fmt.Println(live.Trusted())
	reload("10.0.0.0/8\n192.0.2.0/24\n")
	fmt.Println(live.Trusted())
	// Output:
	// keeping the old list: trustnet: line 2: "192.0.2.0/33": not an IP address, a network such as 10.0.0.0/8, or one of loopback, private, linklocal, unix
	// 10.0.0.0/8
	// 10.0.0.0/8,192.0.2.0/24
}

func ExampleNames() {
	var live trustnet.Live // a Source, for the configuration of a listener
	names := trustnet.Names{
		Items:  []string{"dns:proxy", "loopback"},   // the service "proxy" of Docker Compose
		Within: trustnet.MustParse("172.16.0.0/12"), // the network of the containers
		Lookup: func(ctx context.Context, host string) ([]netip.Addr, error) { // unset: net.DefaultResolver
			return []netip.Addr{netip.MustParseAddr("172.18.0.2"), netip.MustParseAddr("203.0.113.7")}, nil
		},
		OnError: func(err error) { fmt.Println(err) },
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // ends the look-ups
	if err := names.Watch(ctx, &live); err != nil {
		fmt.Println("TRUSTED_PROXIES:", err)
		return
	}
	fmt.Println(live.Trusted())
	// Output:
	// trustnet: dns:proxy: refused 1 of 2 addresses: 203.0.113.7 (outside the networks that are allowed for names)
	// 127.0.0.0/8,172.18.0.2,::1
}
