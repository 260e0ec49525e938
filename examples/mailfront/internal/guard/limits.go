package guard

import (
	"runtime"
	"time"
)

// An Action is something that has a rate limit.
type Action int

// The actions. Actions is their number.
const (
	Connecting         Action = iota // to any listener
	LoggingIn                        // with a right or a wrong password, in any protocol
	LoggingInElsewhere               // with a token that a page of another site may have sent
	Sending                          // MAIL FROM
	Requesting                       // HTTP
	Guessing                         // a wrong password
	GuessingAdmin                    // the same, where the administrator's password has a limit of its own
	GuessingElsewhere                // a wrong password that a page of another site may have sent
	GuessingAccount                  // a wrong password for an account, from addresses that never signed in to it
	Actions
)

// A Rate allows Burst actions at once, and one more each time that Every has passed.
type Rate struct {
	Burst int
	Every time.Duration
}

// Limits configures a [Guard]. It has no defaults: start with [DefaultLimits].
type Limits struct {
	Rates     [Actions]Rate // of one client; GuessingAccount is of one account
	Unknown   [Actions]Rate // of all clients that are not known together: the three for guessing
	Ban       time.Duration // how long a ban lasts
	PerClient int           // open connections
	Total     int           // open connections, of clients that are not known, too
	Clients   int           // that are remembered, and as many bans and accounts: bounds the memory
	Memory    int64         // bytes, for all messages that are being received
	Share     int64         // bytes, for those of one client
	Comparing int           // passwords of one client that are compared at once
	Waiting   int           // passwords of one client that wait for that
	Patience  time.Duration // of one that waits
	StoreWait time.Duration // for the answer of the store, before the guard decides by itself
	Places    int           // of passwords that are compared at once: as many for known clients as for others; not of tokens
}

// DefaultLimits suit clients that are a whole office behind one address. They stop programs,
// not people.
var DefaultLimits = Limits{
	Rates: [Actions]Rate{
		Connecting: {2000, 10 * time.Millisecond},
		LoggingIn:  {200, 100 * time.Millisecond},
		Sending:    {500, 100 * time.Millisecond},
		Requesting: {5000, 2 * time.Millisecond},
		Guessing:   {9, time.Minute}, // the tenth is the ban

		LoggingInElsewhere: {200, 100 * time.Millisecond},
		GuessingAdmin:      {9, time.Minute},
		GuessingElsewhere:  {9, time.Minute},
		GuessingAccount:    {100, 30 * time.Second}, // of one account
	},
	Unknown: [Actions]Rate{
		// Higher: one client that guesses locks out all others that are not known.
		Guessing:          {100, time.Second},
		GuessingAdmin:     {20, 5 * time.Second},
		GuessingElsewhere: {20, 5 * time.Second},
	},
	Ban:       15 * time.Minute,
	PerClient: 1000,
	Total:     16384,
	Clients:   1 << 14,
	Memory:    256 << 20,
	Share:     64 << 20,
	Comparing: 4,
	Waiting:   256,
	Patience:  10 * time.Second,
	StoreWait: 50 * time.Millisecond,
	Places:    max(1, runtime.GOMAXPROCS(0)/2), // a slow hash keeps a processor busy
}
