// Copy lift if administrators may lift bans. It needs no changes.

package main

import (
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

const (
	maxBansShown   = 200
	maxLimitsShown = 50
)

// A limitsView is the section of the page with the bans and limits.
type limitsView struct {
	Bans   []guard.Ban // the newest bans
	Total  int         // number of bans
	Near   []guard.Usage
	Kept   bool // bans survive a restart
	Shared bool // the bans of all nodes are listed
}

func (a *admin) limits() *limitsView {
	bans := a.f.guard.Bans()
	return &limitsView{
		Bans: bans[:min(len(bans), maxBansShown)], Total: len(bans),
		Near: a.f.guard.NearLimits(maxLimitsShown),
		Kept: a.shared() || a.f.cfg.stateFile.path != "", Shared: a.shared(),
	}
}

// lift ends a ban. The answer to the form is the confirmation, because a page at a path of its own
// would also be shown to an administrator who opens that path without lifting a ban.
func (a *admin) lift(w http.ResponseWriter, r *http.Request) {
	p, ok := a.signedInForm(w, r)
	if !ok {
		return
	}
	address, err := netip.ParsePrefix(r.PostForm.Get("address"))
	if err != nil {
		p.Problem = "The address of the ban is not valid. Open the page again and repeat the change."
		a.show(w, r, http.StatusBadRequest, "failed", p)
		return
	}
	banned, err := a.f.guard.Lift(r.Context(), address)
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	if !banned {
		p.Problem = "There is no ban of " + address.String() + ". It has expired or was lifted before."
		a.show(w, r, http.StatusNotFound, "home", p)
		return
	}
	client.FromRequest(r).Log(a.f.log, "ban_lifted", slog.String("banned", address.String()))
	p.Done = "The ban of " + address.String() + " is lifted."
	a.show(w, r, http.StatusOK, "home", p)
}
