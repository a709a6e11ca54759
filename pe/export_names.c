/*
 * Looking up exports by name: the hint, then a binary search (facts 3.4, 3.5).
 *
 * Windows searches by halves, so in a table that is out of order it misses names that are there
 * (behaviours, Exports). Other ways of searching are open only where the names are known to rise,
 * which leaves one answer to all of them.
 */
#include <string.h>

#include "pe/exports_internal.h"

#define FEW_MISSES     8u   /* wrong hints do not come alone */
#define NAMES_PER_NAME 4u   /* going through a larger part of the table costs more than it saves */
#define MAX_STRAYS     8u   /* names in a row that are not near the one before */
#define MAX_COMPARED   512u /* bytes of two neighbours that begin alike; more is out of order */

/* Unsigned bytes, shorter first: the order of the name table. */
static int compare(struct pe_str a, struct pe_str b)
{
    uint32_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* How `name` compares with the string at `rva`, wherever that lies; false when it cannot be read.
 */
static bool order_of(const struct pe_exports *e, uint32_t rva, struct pe_str name, int *order)
{
    struct pe_span bytes;
    struct pe_str at;
    if (pe_rva_span(e->image, rva, name.len + 1, &bytes) && bytes.size == name.len + 1) {
        const char *ptr = (const char *)bytes.data;
        at = (struct pe_str){ptr, (uint32_t)strnlen(ptr, bytes.size)};
    } else if (!pe_rva_str(e->image, rva, PE_MAX_NAME, &at)) {
        return false;
    }
    *order = compare(name, at);
    return true;
}

/*
 * How `name` compares with the name at `i` < name_count; false when that cannot be read. Looks at
 * no more bytes than decide, so that the cost of a search is that of the name that is wanted. No
 * byte of it is 0, so a shorter name at `i` differs where it ends.
 */
static inline bool order_at(const struct pe_exports *e, uint32_t i, struct pe_str name, int *order)
{
    uint32_t rva;
    if (!pe_export_name_rva(e, i, &rva))
        return false;
    const uint8_t *at = pe_run_at(&e->texts, rva - e->dir.rva, name.len + 1);
    if (!at)
        return order_of(e, rva, name, order);
    int difference = memcmp(name.ptr, at, name.len);
    *order = difference ? difference : -(at[name.len] != 0);
    return true;
}

/* The index of `name` within [low, high), or UINT32_MAX. */
static uint32_t search(const struct pe_exports *e, struct pe_str name, uint32_t low, uint32_t high)
{
    int order;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (!order_at(e, mid, name, &order))
            return UINT32_MAX;
        if (order == 0)
            return mid;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return UINT32_MAX;
}

static inline bool by_hint(const struct pe_exports *e, struct pe_str name, uint32_t hint,
                           struct pe_export *out)
{
    int order;
    return hint < e->name_count && order_at(e, hint, name, &order) && order == 0 &&
           pe_export_named(e, hint, name, out);
}

bool pe_export_by_name(const struct pe_exports *exports, struct pe_str name, uint32_t hint,
                       struct pe_export *out)
{
    if (by_hint(exports, name, hint, out))
        return true;
    uint32_t i = search(exports, name, 0, exports->name_count);
    return i != UINT32_MAX && pe_export_named(exports, i, name, out);
}

/* ---- many names, one after the other ---- */

/* The bytes from the name at `i` on, as far as a comparison goes; false for one that lies apart. */
static bool text_at(const struct pe_exports *e, uint32_t i, struct pe_run *out)
{
    uint32_t rva;
    if (!pe_export_name_rva(e, i, &rva))
        return false;
    out->data = pe_run_at(&e->texts, rva - e->dir.rva, 1);
    uint32_t room = out->data ? e->texts.size - (rva - e->dir.rva) : 0;
    out->size = room < MAX_COMPARED ? room : MAX_COMPARED;
    return room > 0;
}

/* True when each name is known to come before the next. */
static bool names_rise(const struct pe_exports *e)
{
    struct pe_run before, at;
    if (e->name_count == 0 || !text_at(e, 0, &before))
        return false;
    for (uint32_t i = 1; i < e->name_count; i++, before = at) {
        if (!text_at(e, i, &at))
            return false;
        uint32_t room = before.size < at.size ? before.size : at.size;
        if (strncmp((const char *)before.data, (const char *)at.data, room) >= 0)
            return false;
    }
    return true;
}

/* Names that rise: a few steps of growing length from where the last one was, then by halves. */
static uint32_t search_on(const struct pe_exports *e, struct pe_name_walk *walk, struct pe_str name)
{
    uint32_t low = 0, high = e->name_count, at = walk->next;
    for (uint32_t step = 1; step <= 8 && at < high; step *= 2) {
        int order;
        if (!order_at(e, at, name, &order))
            return UINT32_MAX;
        if (order == 0) {
            walk->strays = 0;
            return at;
        }
        if (order < 0)
            high = at;
        else
            low = at + 1;
        at += step;
    }
    walk->strays++;
    return search(e, name, low, high);
}

static bool is_worth_it(const struct pe_exports *e, struct pe_name_walk *walk)
{
    if (walk->order == PE_NAMES_UNKNOWN && ++walk->misses == FEW_MISSES) {
        bool many = walk->expected >= e->name_count / NAMES_PER_NAME;
        walk->order = many && names_rise(e) ? PE_NAMES_RISE : PE_NAMES_UNORDERED;
    }
    return walk->order == PE_NAMES_RISE && walk->strays < MAX_STRAYS;
}

bool pe_export_by_name_in_walk(const struct pe_exports *exports, struct pe_name_walk *walk,
                               struct pe_str name, uint32_t hint, struct pe_export *out)
{
    /* Among names that rise there is one of each, wherever the hint points. */
    bool rises = walk->order == PE_NAMES_RISE && walk->strays < MAX_STRAYS;
    if ((rises && by_hint(exports, name, walk->next, out)) || by_hint(exports, name, hint, out)) {
        walk->next = out->hint + 1;
        walk->strays = 0;
        return true;
    }
    uint32_t i = is_worth_it(exports, walk) ? search_on(exports, walk, name)
                                            : search(exports, name, 0, exports->name_count);
    walk->next = i + 1; /* 0 after one that is not there */
    return i != UINT32_MAX && pe_export_named(exports, i, name, out);
}
