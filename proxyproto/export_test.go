package proxyproto

// Unmarked returns i as a Listener without trusted and optional peers makes it.
func Unmarked(i Info) Info {
	i.unmarked = true
	return i
}

// Start begins to accept, as the first Accept does, and returns at once.
func (l *Listener) Start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.startAccepting()
}
