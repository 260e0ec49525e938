package guard

import (
	"runtime"
	"time"
)

// An Action is something that has a rate limit.
type Action int

// The actions. Actions is their number.
const (
	Connecting         Action = iota // a connection to any listener
	LoggingIn                        // a right or wrong password, in any protocol
	LoggingInElsewhere               // a token that a page of another site may have sent
	Sending                          // a message (MAIL FROM)
	Requesting                       // an HTTP request
	Guessing                         // a wrong password
	GuessingAdmin                    // a wrong password of the administrator, where it has a limit of its own
	GuessingElsewhere                // a wrong password that a page of another site may have sent
	GuessingAccount                  // a wrong password for an account, from addresses that never signed in to it
	Actions
)

// A Rate allows Burst actions at once, and one more after each Every.
type Rate struct {
	Burst int
	Every time.Duration
}

// Limits configures a [Guard]. The fields have no defaults: start with [DefaultLimits].
type Limits struct {
	Rates     [Actions]Rate // for each client; GuessingAccount is for each account
	Unknown   [Actions]Rate // for all clients that are not known together; used for the three kinds of guessing
	Ban       time.Duration // how long a ban lasts
	PerClient int           // open connections of one client
	Total     int           // open connections of all clients, including those that are not known
	Clients   int           // clients in memory; also the maximum of bans and of accounts
	Memory    int64         // bytes, for all messages that are being received
	Share     int64         // bytes, for all messages of one client that are being received
	Comparing int           // passwords of one client that are compared concurrently
	Waiting   int           // passwords of one client that wait to be compared
	Patience  time.Duration // maximum wait of a password
	StoreWait time.Duration // maximum wait for the answer of the store; then the guard decides without it
	Places    int           // passwords (not tokens) of known clients that are compared concurrently, and as many of others
}

// DefaultLimits returns limits for clients that may be a whole office behind one address. They stop
// programs that guess, but not people.
var DefaultLimits = Limits{
	Rates: [Actions]Rate{
		Connecting: {2000, 10 * time.Millisecond},
		LoggingIn:  {200, 100 * time.Millisecond},
		Sending:    {500, 100 * time.Millisecond},
		Requesting: {5000, 2 * time.Millisecond},
		Guessing:   {9, time.Minute}, // the tenth wrong password causes a ban

		LoggingInElsewhere: {200, 100 * time.Millisecond},
		GuessingAdmin:      {9, time.Minute},
		GuessingElsewhere:  {9, time.Minute},
		GuessingAccount:    {100, 30 * time.Second}, // for each account
	},
	Unknown: [Actions]Rate{
		// Higher, because one client that guesses locks out all others that are not known.
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
	Places:    max(1, runtime.GOMAXPROCS(0)/2), // a slow hash occupies a processor
}
