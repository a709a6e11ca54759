/*
 * The public API: the regions and images of another process in which peldr runs (loader/peldr.h).
 */
#include <stdlib.h>
#include <string.h>

#include "loader/mm/protect.h"
#include "loader/peldr_api.h"
#include "loader/peldr_walk.h"

enum { NAME_ROOM = 256, PATH_ROOM = 4096 };

static int senseless(uint32_t process, struct pe_error *err)
{
    return peldr_result(pe_fail(err, STATUS_DATA_ERROR,
                                "what process %u says of its address space makes no sense",
                                (unsigned)process));
}

/* ---- modules ---- */

int peldr_walk_modules(uint32_t process, peldr_module_visit visit, void *user)
{
    struct pe_error *err = peldr_begin();
    char name[NAME_ROOM], path[PATH_ROOM];
    struct walk_reader reader;
    struct walk_module m;
    int result = 0;
    nt_status status = peldr_walk_ask(process, OB_REQUEST_MODULES, &reader, err);
    if (!nt_ok(status))
        return peldr_result(status);
    while (result == 0 && peldr_walk_next_module(&reader, &m, name, NAME_ROOM, path, PATH_ROOM)) {
        const struct peldr_walked_module module = {
            .base = m.base,
            .size = m.size,
            .name = name,
            .path = path,
            .relocation = m.flags & WALK_CACHED      ? "cached"
                          : m.flags & WALK_RELOCATED ? "applied"
                                                     : "",
            .builtin = (m.flags & WALK_BUILTIN) != 0,
        };
        result = visit(user, &module);
    }
    if (result == 0 && reader.left != 0)
        result = senseless(process, err);
    peldr_walk_close(&reader);
    return result;
}

/* ---- which module a region belongs to ---- */

struct module {
    uint64_t base, size;
    char *name; /* path, or the name of a builtin one */
};

struct modules {
    struct module *all;
    size_t count, room;
};

static int add_module(void *user, const struct peldr_walked_module *m)
{
    struct modules *modules = user;
    if (modules->count == modules->room) {
        size_t room = modules->room * 2 + 32;
        struct module *more = realloc(modules->all, room * sizeof *more);
        if (!more)
            return -1;
        modules->all = more;
        modules->room = room;
    }
    char *name = strdup(*m->path ? m->path : m->name);
    if (!name)
        return -1;
    modules->all[modules->count++] = (struct module){m->base, m->size, name};
    return 0;
}

static void free_modules(struct modules *modules)
{
    for (size_t i = 0; i < modules->count; i++)
        free(modules->all[i].name);
    free(modules->all);
}

static const char *module_at(const struct modules *modules, uint64_t address)
{
    for (size_t i = 0; i < modules->count; i++)
        if (address >= modules->all[i].base &&
            address - modules->all[i].base < modules->all[i].size)
            return modules->all[i].name;
    return NULL;
}

/* ---- regions ---- */

struct walk {
    struct modules modules;
    struct walk_pages *pages;
};

static void fill(struct walk *walk, const struct walk_region *r, const char *name,
                 struct peldr_walked_region *out)
{
    const char *module = r->type == MEM_IMAGE ? module_at(&walk->modules, r->base) : NULL;
    struct page_counts counts = {0};
    bool mapped = r->state != MEM_FREE;
    *out = (struct peldr_walked_region){
        .address = r->base,
        .size = r->size,
        .allocation_base = r->allocation_base,
        .state = r->state,
        .type = r->type,
        .protect = r->protect,
        .allocation_protect = r->allocation_protect,
        .name = module ? module : name,
        .committed = r->state == MEM_COMMIT ? r->size : 0,
        .counted = !mapped || (walk->pages &&
                               peldr_pages_count(walk->pages, r->base, r->base + r->size, &counts)),
    };
    out->resident_bytes = counts.resident;
    out->private_bytes = counts.private;
    out->shared_bytes = counts.shared;
}

int peldr_walk(uint32_t process, peldr_region_visit visit, void *user)
{
    struct pe_error *err = peldr_begin();
    struct peldr_walked_region region;
    struct walk_reader reader;
    struct walk_region r;
    struct walk walk = {0};
    char name[PATH_ROOM];
    int result = 0;
    nt_status status = peldr_walk_ask(process, OB_REQUEST_REGIONS, &reader, err);
    if (!nt_ok(status))
        return peldr_result(status);
    /* Without its modules (its loader is busy) the regions still have names. */
    if (peldr_walk_modules(process, add_module, &walk.modules) != 0)
        err = peldr_begin();
    walk.pages = peldr_pages_open(process);
    while (result == 0 && peldr_walk_next_region(&reader, &r, name, PATH_ROOM)) {
        fill(&walk, &r, name, &region);
        result = visit(user, &region);
    }
    if (result == 0 && reader.left != 0)
        result = senseless(process, err);
    peldr_pages_close(walk.pages);
    free_modules(&walk.modules);
    peldr_walk_close(&reader);
    return result;
}
