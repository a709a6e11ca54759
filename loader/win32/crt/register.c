/*
 * The C runtimes as builtin modules (crt.h).
 *
 * For every name that Windows's DLL exports the function is looked up in the tables that the DLL
 * shares with the others, its own tables first, then by the rules of alias.c. A name that nobody
 * serves is left to ldr/, which makes it a trap.
 */
#include "loader/win32/crt/crt.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "loader/win32/builtins.h"
#include "loader/win32/crt/alias.h"
#include "loader/win32/crt/data.h"
#include "loader/win32/crt/internal.h"
#include "loader/win32/crt/stream.h"

WIN32_NAMES(vcruntime140);

#if defined(__i386__)
#define WORD_FAMILIES(X) X(seh)
#else
#define WORD_FAMILIES(X) X(seh_x64)
#endif
#define SHARED_FAMILIES(X) \
    X(args)                \
    X(arith)               \
    X(conio)               \
    X(ctype)               \
    X(data_functions)      \
    X(dir)                 \
    X(eh)                  \
    X(eh_frame)            \
    X(environment)         \
    X(errno)               \
    X(exit)                \
    X(fileops)             \
    X(float)               \
    X(intrinsic)           \
    X(jump)                \
    X(locale)              \
    X(lowio)               \
    X(math)                \
    X(mb)                  \
    X(mbs)                 \
    X(memory)              \
    X(number)              \
    X(path)                \
    X(rtti)                \
    X(signal)              \
    X(sort)                \
    X(spawn)               \
    X(stat)                \
    X(stdio)               \
    X(string)              \
    X(system)              \
    X(thread)              \
    X(time)                \
    X(typeinfo)            \
    X(wstdio)              \
    X(wstring)             \
    WORD_FAMILIES(X)

#define OWN_FAMILIES(X) \
    X(data)             \
    X(msvcrt_printf)    \
    X(msvcrt_scanf)     \
    X(msvcrt_timefmt)   \
    X(msvcrt_wstring)   \
    X(ucrt_stdio)       \
    X(ucrt_timefmt)     \
    X(ucrt_wstring)

#define DECLARE_FAMILY(name) extern const struct ldr_builtin_family crt_##name##_family;
#define FAMILY_ADDRESS(name) &crt_##name##_family,
SHARED_FAMILIES(DECLARE_FAMILY)
OWN_FAMILIES(DECLARE_FAMILY)

static const struct ldr_builtin_family *const shared[] = {SHARED_FAMILIES(FAMILY_ADDRESS) NULL};
static const struct ldr_builtin_family *const msvcrt_own[] = {
    &crt_data_family,           &crt_msvcrt_printf_family,  &crt_msvcrt_scanf_family,
    &crt_msvcrt_timefmt_family, &crt_msvcrt_wstring_family, NULL};
static const struct ldr_builtin_family *const ucrt_own[] = {
    &crt_ucrt_stdio_family, &crt_ucrt_timefmt_family, &crt_ucrt_wstring_family, NULL};
static const struct ldr_builtin_family *const no_own[] = {NULL};
const struct ldr_builtin_family *const crt_families[] = {SHARED_FAMILIES(FAMILY_ADDRESS)
                                                             OWN_FAMILIES(FAMILY_ADDRESS) NULL};

/* vcruntime140_1.dll holds what was added for x86-64's second exception format. */
#if defined(__x86_64__)
static const char *const vcruntime140_1_names[] = {"__CxxFrameHandler4", "__NLG_Dispatch2",
                                                   "__NLG_Return2"};
static const size_t vcruntime140_1_count = CRT_COUNT(vcruntime140_1_names);
#endif

static struct dll {
    const char *name;
    const struct ldr_builtin_family *const *own;
    const char *const *names;
    const size_t *name_count;
    void (*attach)(void);
    struct ldr_builtin builtin;
    struct ldr_builtin_family exports;
} dlls[] = {
    {"msvcrt.dll",
     msvcrt_own,
     win32_names_msvcrt,
     &win32_names_msvcrt_count,
     crt_data_attach_msvcrt,
     {0},
     {0}},
    {"ucrtbase.dll",
     ucrt_own,
     win32_names_ucrtbase,
     &win32_names_ucrtbase_count,
     crt_data_attach_ucrt,
     {0},
     {0}},
    {"VCRUNTIME140.dll",
     no_own,
     win32_names_vcruntime140,
     &win32_names_vcruntime140_count,
     crt_data_attach_ucrt,
     {0},
     {0}},
#if defined(__x86_64__)
    {"VCRUNTIME140_1.dll", no_own, vcruntime140_1_names, &vcruntime140_1_count, NULL, {0}, {0}},
#endif
};

/* ---- looking names up
 * ------------------------------------------------------------------------------------ */

struct catalogue { /* exports of several families, sorted by name */
    const struct ldr_builtin_export **rows;
    size_t count;
};

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct ldr_builtin_export *const *)a)->name,
                  (*(const struct ldr_builtin_export *const *)b)->name);
}

static bool make_catalogue(const struct ldr_builtin_family *const *families, struct catalogue *out)
{
    size_t count = 0;
    for (size_t i = 0; families[i] != NULL; i++) {
        count += families[i]->count;
    }
    out->rows = calloc(count + 1, sizeof(*out->rows));
    out->count = 0;
    if (out->rows == NULL) {
        return false;
    }
    for (size_t i = 0; families[i] != NULL; i++) {
        for (size_t j = 0; j < families[i]->count; j++) {
            out->rows[out->count++] = &families[i]->exports[j];
        }
    }
    qsort(out->rows, out->count, sizeof(*out->rows), by_name);
    return true;
}

static const struct ldr_builtin_export *find_in(const struct catalogue *catalogue, const char *name)
{
    struct ldr_builtin_export key = {.name = name};
    const struct ldr_builtin_export *wanted = &key;
    const struct ldr_builtin_export **row =
        bsearch(&wanted, catalogue->rows, catalogue->count, sizeof(*catalogue->rows), by_name);
    return row != NULL ? *row : NULL;
}

struct catalogues {
    struct catalogue own, shared;
};

static const struct ldr_builtin_export *find_exact(const struct catalogues *c, const char *name)
{
    const struct ldr_builtin_export *found = find_in(&c->own, name);
    return found != NULL ? found : find_in(&c->shared, name);
}

/* Rules apply one after the other: "_o__isalpha_l" is "_isalpha_l" is isalpha. */
static const struct ldr_builtin_export *find(const struct catalogues *c, const char *name,
                                             unsigned depth)
{
    const struct ldr_builtin_export *found = find_exact(c, name);
    for (unsigned rule = 0; found == NULL && depth > 0 && rule < CRT_ALIAS_RULES; rule++) {
        char other[128];
        if (crt_alias(name, rule, other, sizeof(other))) {
            found = find(c, other, depth - 1);
        }
    }
    return found;
}

/* ---- registration
 * ------------------------------------------------------------------------------------------- */

/* The rows of those names that are served, under these names; returns how many. */
static size_t select_rows(const struct catalogues *c, const char *const *names, size_t count,
                          struct ldr_builtin_export *out)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const struct ldr_builtin_export *found = find(c, names[i], 2);
        if (found != NULL) {
            out[used] = *found;
            out[used++].name = names[i];
        }
    }
    return used;
}

size_t win32_crt_select(const char *const *names, size_t count, struct ldr_builtin_export *out)
{
    struct catalogues c = {{NULL, 0}, {NULL, 0}};
    size_t used = 0;
    crt_data_init(); /* its rows get their names */
    if (make_catalogue(msvcrt_own, &c.own) && make_catalogue(shared, &c.shared)) {
        used = select_rows(&c, names, count, out);
    }
    free(c.own.rows);
    free(c.shared.rows);
    return used;
}

/* The table of a DLL, from its list of names. */
static void complete(struct dll *dll, const struct catalogue *common)
{
    struct catalogues c = {.shared = *common};
    size_t count = *dll->name_count;
    struct ldr_builtin_export *exports = calloc(count + 1, sizeof(*exports));
    if (exports == NULL || !make_catalogue(dll->own, &c.own)) {
        free(exports);
        return;
    }
    size_t used = select_rows(&c, dll->names, count, exports);
    free(c.own.rows);
    dll->exports = (struct ldr_builtin_family){exports, used};
}

static void complete_all(void)
{
    struct catalogue common;
    if (dlls[0].exports.exports != NULL || !make_catalogue(shared, &common)) {
        return;
    }
    for (size_t i = 0; i < CRT_COUNT(dlls); i++) {
        complete(&dlls[i], &common);
    }
    free(common.rows);
}

static void register_dll(struct dll *dll, uint32_t base)
{
    dll->builtin = (struct ldr_builtin){
        .name = dll->name,
        .preferred_base = base,
        .families = &dll->exports,
        .family_count = 1,
        .names = dll->names,
        .name_count = *dll->name_count,
        .complete = complete_all,
        .attach = dll->attach,
        .detach = crt_stream_detach,
    };
    win32_builtin_register(&dll->builtin);
}

static void register_all(void)
{
    crt_data_init(); /* its rows get their names */
    for (size_t i = 0; i < CRT_COUNT(dlls); i++) {
        register_dll(&dlls[i], WIN32_CRT_BASE - (uint32_t)i * WIN32_BASE_STRIDE);
    }
}

void win32_crt_register(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_all);
}
