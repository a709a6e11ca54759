/*
 * Names of addresses for crash reports: exports of mapped images (PE specification, ".edata"),
 * builtin functions by their tables, native code by dladdr().
 *
 * Images have no names for most of their functions: an export far below is shown all the same, with
 * its distance.
 */
#include <dlfcn.h>
#include <string.h>

#include "loader/ke/cfi.h"
#include "loader/ke/crash.h"
#include "loader/ke/native.h"
#include "loader/ldr/builtin.h"
#include "loader/ldr/builtin_image.h"
#include "loader/ldr/imagemap.h"

enum {
    EXPORTS_MAX = 65536, /* ordinals are 16 bits */
    CHUNK = 256,
    NAME_MAX_SHOWN = 96,
};

/* An image whose headers and tables are read from memory, where the program may have spoilt them.
 */
struct mapped {
    uintptr_t base, size;
};

static bool read_at(const struct mapped *image, uint64_t rva, void *out, size_t size)
{
    return rva < image->size && size <= image->size - rva &&
           ke_peek(image->base + (uintptr_t)rva, out, size) == size;
}

/* IMAGE_EXPORT_DIRECTORY from NumberOfFunctions on. */
struct export_tables {
    uint32_t functions, names, functions_rva, names_rva, ordinals_rva;
};

static bool find_exports(const struct mapped *image, struct export_tables *out,
                         uint32_t directory[2])
{
    enum {
        LFANEW = 0x3C,
        DIRECTORY = KE_BY_WORD(0x88, 0x78), /* of the NT headers: entry 0 */
        NUMBER_OF_FUNCTIONS = 0x14,
    };
    uint32_t headers;
    return read_at(image, LFANEW, &headers, sizeof(headers)) &&
           read_at(image, (uint64_t)headers + DIRECTORY, directory, 8) && directory[0] &&
           read_at(image, (uint64_t)directory[0] + NUMBER_OF_FUNCTIONS, out, sizeof(*out));
}

/* The function with the greatest address that is not above `rva`; forwarders lie inside the
 * directory. */
static bool nearest_function(const struct mapped *image, const struct export_tables *tables,
                             const uint32_t directory[2], uint32_t rva, uint32_t *index,
                             uint32_t *start)
{
    uint32_t rvas[CHUNK], best = 0;
    uint32_t count = tables->functions < EXPORTS_MAX ? tables->functions : EXPORTS_MAX;
    for (uint32_t first = 0; first < count; first += CHUNK) {
        uint32_t part = count - first < CHUNK ? count - first : CHUNK;
        if (!read_at(image, tables->functions_rva + 4ull * first, rvas, 4ull * part))
            break;
        for (uint32_t i = 0; i < part; i++) {
            if (rvas[i] > rva || rvas[i] <= best || rvas[i] - directory[0] < directory[1])
                continue;
            best = rvas[i];
            *index = first + i;
        }
    }
    *start = best;
    return best != 0;
}

static void make_printable(char *name)
{
    for (; *name; name++)
        if (*name < ' ' || *name > '~')
            *name = '?';
}

static bool name_of(const struct mapped *image, const struct export_tables *tables, uint32_t index,
                    char name[NAME_MAX_SHOWN])
{
    uint16_t ordinals[CHUNK];
    uint32_t count = tables->names < EXPORTS_MAX ? tables->names : EXPORTS_MAX;
    for (uint32_t first = 0; first < count; first += CHUNK) {
        uint32_t part = count - first < CHUNK ? count - first : CHUNK, rva;
        if (!read_at(image, tables->ordinals_rva + 2ull * first, ordinals, 2ull * part))
            return false;
        for (uint32_t i = 0; i < part; i++) {
            if (ordinals[i] != index)
                continue;
            memset(name, 0, NAME_MAX_SHOWN);
            if (!read_at(image, tables->names_rva + 4ull * (first + i), &rva, 4) ||
                rva >= image->size || !ke_peek(image->base + rva, name, NAME_MAX_SHOWN - 1))
                return false;
            make_printable(name);
            return *name;
        }
    }
    return false;
}

static void put_distance(struct ke_text *text, uintptr_t distance)
{
    if (distance) {
        ke_text_put(text, "+");
        ke_text_hex(text, distance);
    }
}

static void image_symbol(struct ke_text *text, uintptr_t address,
                         const struct ldr_image_range *range, uintptr_t *start)
{
    struct mapped image = {range->base, range->size};
    struct export_tables tables;
    uint32_t directory[2], index = 0, rva;
    uintptr_t base;
    char name[NAME_MAX_SHOWN] = "";
    if (!find_exports(&image, &tables, directory) ||
        !nearest_function(&image, &tables, directory, (uint32_t)(address - image.base), &index,
                          &rva))
        return;
    *start = image.base + rva;
    ke_text_module(text, address, &base);
    ke_text_put(text, "!");
    ke_text_put(text, name_of(&image, &tables, index, name) ? name : "(by ordinal)");
    put_distance(text, address - *start);
}

/* The registry only grows while the process lives. */
static const char *builtin_name(uintptr_t function, const char **module)
{
    const struct ldr_builtin *builtin = NULL;
    const char *name = NULL;
    while (!name && (builtin = ldr_builtin_next(builtin)) != NULL) {
        name = ldr_builtin_function_name(builtin, function);
        *module = name ? builtin->name : NULL;
    }
    return name;
}

static void native_symbol(struct ke_text *text, uintptr_t address, uintptr_t *start)
{
    const char *module = NULL, *name = NULL;
    Dl_info info = {0};
    *start = ke_cfi_function(address);
    if (ke_is_builtin(*start))
        name = builtin_name(*start, &module);
    if (!name && dladdr((void *)address, &info) && info.dli_fname) {
        const char *slash = strrchr(info.dli_fname, '/');
        module = slash ? slash + 1 : info.dli_fname;
        name = info.dli_sname;
        *start = name ? (uintptr_t)info.dli_saddr : (uintptr_t)info.dli_fbase;
    }
    if (!name && !info.dli_fname)
        return;
    ke_text_put(text, module);
    ke_text_put(text, name ? "!" : "");
    ke_text_put(text, name ? name : "");
    put_distance(text, address - *start);
    if (!name)
        *start = 0;
}

void ke_text_symbol(struct ke_text *text, uintptr_t address, uintptr_t *start)
{
    struct ldr_image_range range;
    *start = 0;
    if (ldr_image_at(address, &range))
        image_symbol(text, address, &range, start);
    else
        native_symbol(text, address, start);
}
