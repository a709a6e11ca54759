/*
 * The public API: the image cache (loader/peldr.h, loader/mm/cache.h).
 */
#include <stdlib.h>

#include "loader/mm/cache.h"
#include "loader/mm/section.h"
#include "loader/peldr_api.h"

int peldr_set_cache(const char *place, uint64_t limit)
{
    struct pe_error *err = peldr_begin();
    nt_status status = mm_cache_set_place(place, limit, err);
    if (nt_ok(status))
        mm_section_forget_known();
    return peldr_result(status);
}

char *peldr_cache_folder(uint64_t *limit)
{
    struct pe_error *err = peldr_begin();
    const char *why;
    char *folder = mm_cache_folder(&why);
    if (!folder)
        pe_fail(err, STATUS_OBJECT_PATH_NOT_FOUND, "there is no image cache: %s", why);
    else if (limit)
        *limit = mm_cache_limit();
    return folder;
}

struct visitor {
    peldr_cache_visit visit;
    void *user;
    int result;
};

static bool visit_one(void *user, const struct mm_cache_info *info)
{
    struct visitor *visitor = user;
    const struct peldr_cache_entry entry = {
        .name = info->name,
        .path = info->path,
        .base = info->base,
        .size = info->size,
        .last_used = info->last_used,
        .in_use = info->in_use,
        .damaged = info->damaged,
        .stale = info->stale,
    };
    visitor->result = visitor->visit(visitor->user, &entry);
    return visitor->result == 0;
}

int peldr_each_cached(peldr_cache_visit visit, void *user)
{
    struct pe_error *err = peldr_begin();
    struct visitor visitor = {visit, user, 0};
    nt_status status = mm_cache_each(visit_one, &visitor, err);
    return nt_ok(status) ? visitor.result : peldr_result(status);
}

static int tell_removed(nt_status status, const struct mm_cache_removed *removed,
                        struct peldr_cache_removed *out)
{
    if (nt_ok(status) && out)
        *out = (struct peldr_cache_removed){removed->entries, removed->kept_in_use, removed->bytes};
    return peldr_result(status);
}

int peldr_cache_prune(uint64_t limit, struct peldr_cache_removed *removed)
{
    struct pe_error *err = peldr_begin();
    struct mm_cache_removed all;
    return tell_removed(mm_cache_prune(limit ? limit : mm_cache_limit(), &all, err), &all, removed);
}

int peldr_cache_clear(struct peldr_cache_removed *removed)
{
    struct pe_error *err = peldr_begin();
    struct mm_cache_removed all;
    return tell_removed(mm_cache_clear(&all, err), &all, removed);
}
