/* What a call counts in the windows of rules. It counts from its decision on, so that of calls that
 * are decided together only as many go as a limit lets through, and is taken out again where it is
 * clear that the vendor will never see it: refused behind its decision, denied, not approved in
 * time, not recorded, no vendor connection, or its caller gone before. Once bytes of it may have
 * reached the vendor it stays counted, whatever comes of it. A call that is held counts while it
 * waits; sent again after a late approval it is decided, and counted, anew. */
#include "call/call_internal.h"

void counts_note(struct exchange *x)
{
    counter_add(&x->w->counters.window_full, x->verdict.window_full);
    counter_add(&x->w->counters.window_retries, x->verdict.window_tries);
}

void counts_give_back(struct exchange *x)
{
    if (x->returned || x->verdict.ncounted == 0)
        return;
    for (unsigned i = 0; i < x->verdict.ncounted; i++)
        window_give_back(x->w->c.windows, &x->verdict.counted[i]);
    x->returned = true;
}

static void put(struct audit_event *e, const struct exchange *x, enum audit_field f)
{
    for (unsigned i = 0; i < x->verdict.ncounted; i++) {
        char text[128];
        struct outbuf o = outbuf_on(text, sizeof(text));
        struct window_told told;

        if (!window_tell(x->w->c.windows, &x->verdict.counted[i], &told))
            continue; /* the window has left it behind */
        window_told_put(&told, &o);
        audit_text(e, f, outbuf_span(&o));
    }
}

/* An approved call is recorded a second time, and counts once. */
void counts_put_decided(struct audit_event *e, const struct exchange *x)
{
    if (x->verdict.ncounted == 0 || x->returned || x->approved)
        return;
    put(e, x, AUDIT_F_COUNTED);
    audit_number(e, AUDIT_F_COUNTED_KEY, window_fingerprint(x->w->c.windows));
}

void counts_put_settled(struct audit_event *e, const struct exchange *x)
{
    if (x->returned)
        put(e, x, AUDIT_F_RETURNED);
}
