package nbdserver

import (
	"encoding/binary"
	"strings"

	"github.com/pojntfx/go-nbd/pkg/protocol"
)

// meta answers SET_META_CONTEXT and LIST_META_CONTEXT.
//
// A query is the name of a context, or, when listing, a namespace with its
// colon ("base:"). Listing without a query lists all.
func (h *haggling) meta(id uint32, data []byte) error {
	set := id == optSetMetaContext
	if set {
		h.contexts, h.contextsFor = nil, nil // whatever the outcome
		if !h.structured {
			return h.answer(id, repErrInvalid, "structured replies are needed first")
		}
	}
	p := fields{b: data}
	name := p.text()
	n := p.uint32()
	var queries []string
	for ; n > 0 && !p.bad; n-- {
		queries = append(queries, p.text())
	}
	if p.bad || len(p.b) != 0 {
		return h.answer(id, repErrInvalid, "malformed option")
	}
	x := h.c.srv.lookup(name)
	if x == nil {
		return h.answer(id, protocol.NEGOTIATION_TYPE_REPLY_ERR_UNKNOWN, "no such export")
	}
	for _, ctx := range x.metaContexts() {
		if !matches(ctx.name, queries, set) {
			continue
		}
		number := ctx.id
		if set {
			h.contexts = append(h.contexts, ctx)
		} else {
			number = 0 // reserved: nothing is selected
		}
		h.head(id, repMetaContext, 4+len(ctx.name))
		h.out = binary.BigEndian.AppendUint32(h.out, number)
		h.out = append(h.out, ctx.name...)
	}
	if set {
		h.contextsFor = x
	}
	return h.answer(id, protocol.NEGOTIATION_TYPE_REPLY_ACK, "")
}

// matches reports whether a query asks for the context.
func matches(context string, queries []string, set bool) bool {
	if !set && len(queries) == 0 {
		return true
	}
	for _, q := range queries {
		if q == context || !set && strings.HasSuffix(q, ":") && strings.HasPrefix(context, q) {
			return true
		}
	}
	return false
}
