/*
 * The tables of all builtin modules, numbered, and the modules' prepared images (builtins.h).
 */
#include "loader/win32/builtins.h"

#include <string.h>

#include "loader/win32/crt/crt.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/smalldlls.h"

/* ---- tables ---- */

static const struct table {
    const struct ldr_builtin_export *rows;
    const size_t *count;
} tables[] = {
#define NTDLL(family)    {ntdll_##family##_exports, &ntdll_##family##_count},
#define KERNEL32(family) {kernel32_##family##_exports, &kernel32_##family##_count},
#define SMALL(table)     {table##_exports, &table##_count},
    NTDLL_FAMILIES(NTDLL) KERNEL32_FAMILIES(KERNEL32)
        WIN32_SMALL_TABLES(SMALL){kernelbase_address_exports, &kernelbase_address_count},
    {kernelbase_mapping_exports, &kernelbase_mapping_count},
#undef NTDLL
#undef KERNEL32
#undef SMALL
};
enum { TABLE_COUNT = sizeof(tables) / sizeof(*tables) };

/* The C runtimes' tables are numbered behind these. */
const struct ldr_builtin_export *win32_row(struct ldr_row_ref ref)
{
    return ref.table < TABLE_COUNT ? &tables[ref.table].rows[ref.row]
                                   : &crt_families[ref.table - TABLE_COUNT]->exports[ref.row];
}

static bool is_copy(const struct ldr_builtin_export *row, const struct ldr_builtin_export *export)
{
    return row->kind == export->kind &&
           (row->kind == LDR_EXPORT_DATA ? row->location == export->location
                                         : row->address == export->address);
}

/* Its row of a table: the one of its name, else the first, whose name crash reports show. */
static bool find_row(const struct ldr_builtin_export *rows, size_t count,
                     const struct ldr_builtin_export *export, struct ldr_row_ref *out)
{
    bool found = false;
    for (size_t i = 0; i < count && i <= UINT16_MAX; i++) {
        if (!is_copy(&rows[i], export))
            continue;
        bool same = export->name && rows[i].name && !strcmp(rows[i].name, export->name);
        if (same || !found)
            out->row = (uint16_t)i;
        found = true;
        if (same)
            break;
    }
    return found;
}

bool win32_row_of(const struct ldr_builtin_export *export, struct ldr_row_ref *out)
{
    for (uint16_t t = 0; t < TABLE_COUNT; t++) {
        out->table = t;
        if (find_row(tables[t].rows, *tables[t].count, export, out))
            return true;
    }
    for (uint16_t t = 0; crt_families[t]; t++) {
        out->table = (uint16_t)(TABLE_COUNT + t);
        if (find_row(crt_families[t]->exports, crt_families[t]->count, export, out))
            return true;
    }
    return false;
}

/* ---- prepared images ---- */

static const struct ldr_prepared *prepared;
static size_t prepared_count;

void win32_use_prepared(const struct ldr_prepared *images, size_t count)
{
    prepared = images;
    prepared_count = count;
}

nt_status win32_builtin_register(struct ldr_builtin *builtin)
{
    static size_t likely; /* they were prepared in the order of registration */
    builtin->row = win32_row;
    for (size_t i = 0; i < prepared_count && builtin->prepared == NULL; i++) {
        const struct ldr_prepared *image = &prepared[(likely + i) % prepared_count];
        if (!strcmp(image->name, builtin->name)) {
            builtin->prepared = image;
            likely = (size_t)(image - prepared) + 1;
        }
    }
    return ldr_builtin_register(builtin);
}
