/*
 * The registry of builtin modules, and what a trap calls.
 *
 * A builtin keeps the base that it was given at its first registration, so that module addresses do
 * not depend on what replaced what.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/ldr/builtin_image.h"
#include "loader/ldr/builtin_thunk.h"
#include "loader/ldr/ldr.h"
#include "loader/ldr/path.h"
#include "pe/exports.h"

/* Chosen bases go down from here: below 2 GiB, because without the large-address flag system DLLs
 * sit there on Windows too (facts: behaviours, Headers), in a part that Linux leaves alone by
 * default. */
#define FIRST_BASE  0x79000000u
#define BASE_STRIDE 0x200000u
#define LAST_BASE   0x40000000u

struct entry {
    const struct ldr_builtin *builtin;
    uint64_t base;
    struct entry *next;
    struct entry *same_bucket;
};

#define BUCKETS 128u

/* Under the loader lock: all in order of registration, and by name. */
static struct entry *registry, **registry_end = &registry;
static struct entry *by_name[BUCKETS];
static uint64_t next_base = FIRST_BASE;

static size_t stem_length(const char *name)
{
    size_t length = strlen(name);
    return length > 4 && ldr_casecmp(name + length - 4, ".dll") == 0 ? length - 4 : length;
}

static bool same_name(const char *a, const char *b)
{
    size_t length = stem_length(a);
    return length == stem_length(b) && ldr_casesame(a, b, length);
}

static struct entry **bucket_of(const char *name)
{
    return &by_name[ldr_casehash(name, stem_length(name)) % BUCKETS];
}

static struct entry *entry_named(const char *name)
{
    struct entry *entry = *bucket_of(name);
    while (entry != NULL && !same_name(entry->builtin->name, name))
        entry = entry->same_bucket;
    return entry;
}

/* NULL for a builtin that another one has replaced. */
static struct entry *entry_of(const struct ldr_builtin *builtin)
{
    struct entry *entry = entry_named(builtin->name);
    return entry != NULL && entry->builtin == builtin ? entry : NULL;
}

static uint64_t choose_base(const struct ldr_builtin *builtin)
{
    if (builtin->preferred_base != 0)
        return builtin->preferred_base;
    uint64_t base = next_base;
    next_base = base > LAST_BASE ? base - BASE_STRIDE : FIRST_BASE;
    return base;
}

static nt_status add_entry(const struct ldr_builtin *builtin)
{
    struct entry *entry = malloc(sizeof(*entry));
    if (entry == NULL)
        return STATUS_NO_MEMORY;
    struct entry **bucket = bucket_of(builtin->name);
    *entry =
        (struct entry){.builtin = builtin, .base = choose_base(builtin), .same_bucket = *bucket};
    *bucket = entry;
    *registry_end = entry;
    registry_end = &entry->next;
    return STATUS_SUCCESS;
}

nt_status ldr_builtin_register(const struct ldr_builtin *builtin)
{
    uint64_t base = builtin->preferred_base;
    if (builtin->name == NULL || builtin->name[0] == '\0' || base % PE_GRANULARITY != 0 ||
        base >= 0x80000000u)
        return STATUS_INVALID_PARAMETER;
    nt_status status = STATUS_SUCCESS;
    ldr_lock();
    struct entry *entry = entry_named(builtin->name);
    if (entry == NULL)
        status = add_entry(builtin);
    else if (entry->builtin != builtin && ldr_find(builtin->name) != NULL)
        status = STATUS_OBJECT_NAME_COLLISION;
    else
        entry->builtin = builtin;
    ldr_unlock();
    return status;
}

const struct ldr_builtin *ldr_builtin_find(const char *name)
{
    ldr_lock();
    struct entry *entry = entry_named(name);
    ldr_unlock();
    return entry ? entry->builtin : NULL;
}

bool ldr_builtin_is_trap(const struct pe_image *mapped, uint32_t rva)
{
    /* Variables, whose content is anybody's, lie outside of the code. */
    const struct pe_headers *h = &mapped->h;
    return rva >= h->base_of_code && rva - h->base_of_code < h->size_of_code &&
           ldr_thunk_is_trap(mapped->bytes, rva);
}

static const char *prepared_name(const struct ldr_builtin *builtin, uintptr_t function)
{
    for (uint32_t i = 0; i < builtin->prepared->function_count; i++) {
        const struct ldr_builtin_export *row = builtin->row(builtin->prepared->functions[i]);
        if (row && (uintptr_t)row->address == function)
            return row->name;
    }
    return NULL;
}

const char *ldr_builtin_function_name(const struct ldr_builtin *builtin, uintptr_t function)
{
    if (builtin->prepared)
        return prepared_name(builtin, function);
    for (size_t i = 0; i < builtin->family_count; i++) {
        const struct ldr_builtin_family *family = &builtin->families[i];
        for (size_t k = 0; k < family->count; k++)
            if ((uintptr_t)family->exports[k].address == function && family->exports[k].name)
                return family->exports[k].name;
    }
    return NULL;
}

void ldr_builtin_complete(const struct ldr_builtin *builtin)
{
    ldr_lock();
    if (builtin->complete)
        builtin->complete();
    ldr_unlock();
}

const struct ldr_builtin *ldr_builtin_next(const struct ldr_builtin *builtin)
{
    ldr_lock();
    struct entry *entry = builtin ? entry_of(builtin) : registry;
    if (builtin != NULL && entry != NULL)
        entry = entry->next;
    ldr_unlock();
    return entry ? entry->builtin : NULL;
}

uint64_t ldr_builtin_base(const struct ldr_builtin *builtin)
{
    ldr_lock();
    struct entry *entry = entry_of(builtin);
    uint64_t base = entry ? entry->base : FIRST_BASE;
    ldr_unlock();
    return builtin->preferred_base ? builtin->preferred_base : base;
}

static void bind(const struct pe_exports *exports, const struct ldr_builtin_export *export)
{
    struct pe_export found;
    struct pe_str name = {export->name, export->name ? (uint32_t)strlen(export->name) : 0};
    if (export->kind != LDR_EXPORT_DATA || export->location == NULL)
        return;
    if (export->name ? pe_export_by_name(exports, name, 0, &found)
                     : pe_export_by_ordinal(exports, export->ordinal, &found))
        *export->location = (uint8_t *)(uintptr_t)exports->image->bytes.data + found.rva;
}

void ldr_builtin_bind(const struct ldr_builtin *builtin, const struct pe_image *mapped)
{
    struct pe_exports exports;
    if (builtin->prepared) {
        ldr_prepared_bind(builtin, mapped);
        return;
    }
    if (!pe_exports_open(mapped, &exports))
        return;
    for (size_t f = 0; f < builtin->family_count; f++)
        for (size_t i = 0; i < builtin->families[f].count; i++)
            bind(&exports, &builtin->families[f].exports[i]);
}

/* ---- traps ---- */

static _Atomic(ldr_trap_handler) trap_handler;

void ldr_set_trap_handler(ldr_trap_handler handler)
{
    trap_handler = handler;
}

void WINCDECL_DEF ldr_builtin_trap(const char *module, const char *name)
{
    ldr_trap_handler handler = trap_handler;
    if (handler != NULL)
        handler(module, name);
    abort(); /* there is nothing to return to the caller */
}
