/*
 * The image cache's size: what goes when a new entry has made it too large (cache_store.h), and
 * what goes when the user says so (cache.h).
 *
 * The total that the index keeps says when it is time to look; then the folder is read, and an
 * eighth below the limit is made free, so that the next entries need not look again.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/mm/cache_store.h"

/* So many names of the folder are looked at by one commit, and removed at most. */
#define EVICT_LOOK   8192u
#define EVICT_REMOVE 1024u

/* ---- eviction -------------------------------------------------------------------------------- */

/* The oldest first until no more than `target` bytes are left; in an order that lists have. */
static void remove_down_to(struct mm_cache_place *place, struct mm_cache_items *items,
                           uint64_t target, size_t most, struct mm_cache_removed *removed)
{
    for (size_t i = 0; i < items->count && removed->entries < most; i++) {
        const struct mm_cache_item *item = &items->all[i];
        bool unfit = item->leftover || item->damaged || item->stale;
        enum mm_cache_fate fate;

        if (!unfit && items->bytes <= target)
            continue;
        fate = mm_cache_remove_unused(place->dir, item->name, item->dev, item->ino);
        if (fate == MM_CACHE_REMOVED) {
            removed->entries++;
            removed->bytes += item->bytes;
            items->bytes -= item->bytes;
        } else if (!item->leftover) {
            removed->kept_in_use++;
        }
    }
}

void mm_cache_evict(struct mm_cache_place *place, int index, bool ours, uint64_t bytes)
{
    struct mm_cache_removed removed = {0};
    struct mm_cache_items items;
    struct mm_cache_total total;
    struct stat st;
    int own = -1;

    if (index < 0)
        index = ours ? place->index : (own = mm_cache_index_open(place->dir, &st));
    if (index < 0)
        return;
    /* What was in use the last time is likely to be so still. */
    if ((!mm_cache_total_add(index, bytes, &total) ||
         (total.bytes > place->limit && total.bytes > total.kept + place->limit / 16)) &&
        mm_cache_scan(place, false, EVICT_LOOK, &items)) {
        if (items.bytes > place->limit)
            remove_down_to(place, &items, place->limit - place->limit / 8, EVICT_REMOVE, &removed);
        total = (struct mm_cache_total){.bytes = items.bytes, .kept = items.bytes};
        mm_cache_total_set(index, &total);
        mm_cache_items_free(&items);
    }
    if (own >= 0)
        close(own);
}

/* ---- by the user's word ---------------------------------------------------------------------- */

/* The place, and all that lies there. */
static nt_status open_all(struct mm_cache_place **place, struct mm_cache_items *items,
                          struct pe_error *err)
{
    const char *why;

    *place = mm_cache_place_get();
    if (*place != NULL && !mm_cache_place_holds(*place)) {
        mm_cache_place_forget(*place);
        mm_cache_place_put(*place);
        *place = mm_cache_place_get();
    }
    if (*place == NULL) {
        free(mm_cache_folder(&why));
        return pe_fail(err, STATUS_OBJECT_PATH_NOT_FOUND, "there is no image cache: %s", why);
    }
    if (mm_cache_scan(*place, true, SIZE_MAX, items))
        return STATUS_SUCCESS;
    mm_cache_place_put(*place);
    return pe_fail(err, STATUS_NO_MEMORY, "the folder of the image cache cannot be read");
}

static void set_total(struct mm_cache_place *place, uint64_t bytes)
{
    const struct mm_cache_total total = {.bytes = bytes};
    struct stat st;
    int index = mm_cache_index_open(place->dir, &st);

    if (index < 0)
        return;
    mm_cache_total_set(index, &total);
    close(index);
}

nt_status mm_cache_prune(uint64_t limit, struct mm_cache_removed *removed, struct pe_error *err)
{
    struct mm_cache_place *place;
    struct mm_cache_items items;
    nt_status status = open_all(&place, &items, err);

    *removed = (struct mm_cache_removed){0};
    if (!nt_ok(status))
        return status;
    remove_down_to(place, &items, limit, SIZE_MAX, removed);
    set_total(place, items.bytes);
    mm_cache_items_free(&items);
    mm_cache_place_put(place);
    return STATUS_SUCCESS;
}

nt_status mm_cache_clear(struct mm_cache_removed *removed, struct pe_error *err)
{
    struct mm_cache_place *place;
    struct mm_cache_items items;
    nt_status status = open_all(&place, &items, err);

    *removed = (struct mm_cache_removed){0};
    if (!nt_ok(status))
        return status;
    for (size_t i = 0; i < items.count; i++)
        items.all[i].stale = true; /* all the same */
    remove_down_to(place, &items, 0, SIZE_MAX, removed);
    set_total(place, items.bytes);
    mm_cache_items_free(&items);
    mm_cache_place_put(place);
    return STATUS_SUCCESS;
}

nt_status mm_cache_each(bool (*visit)(void *user, const struct mm_cache_info *info), void *user,
                        struct pe_error *err)
{
    struct mm_cache_place *place;
    struct mm_cache_items items;
    nt_status status = open_all(&place, &items, err);
    bool go_on = true;

    if (!nt_ok(status))
        return status;
    for (size_t i = 0; i < items.count && go_on; i++) {
        const struct mm_cache_item *item = &items.all[i];
        struct mm_cache_info info = {
            .name = item->name,
            .path = item->path != NULL ? item->path : "",
            .base = item->base,
            .size = item->bytes,
            .last_used = item->last_used,
            .in_use = item->in_use,
            .damaged = item->damaged,
            .stale = item->stale,
        };

        if (!item->leftover)
            go_on = visit(user, &info);
    }
    mm_cache_items_free(&items);
    mm_cache_place_put(place);
    return STATUS_SUCCESS;
}
