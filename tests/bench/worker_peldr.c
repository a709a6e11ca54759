/* The contenders that are peldr: load and unload, and the look-up of exported names. */

#include "loader/peldr.h"
#include "tests/bench/worker.h"

static const char *path;
static peldr_module *module;
static uint64_t wander_at;
static bool wanders, forgets;

/* Where --wander loads: so far from each other that no two images of the largest size touch. */
enum { WANDER_STEP = 0x10000000 };
#if defined(__x86_64__)
#define WANDER_FIRST 0x600000000ull
#define WANDER_LAST  0x1000000000ull
#else
#define WANDER_FIRST 0x70000000ull
#define WANDER_LAST  0xb0000000ull
#endif

static peldr_module *open_or_fail(const char *file)
{
    peldr_module *opened = wander_at ? peldr_open_at(file, 0, wander_at) : peldr_open(file, 0);
    if (!opened)
        fail("%s", peldr_error());
    return opened;
}

static struct peldr_module_info info_of(peldr_module *of)
{
    struct peldr_module_info info = {0};
    if (peldr_module_info(of, &info) != 0)
        fail("%s", peldr_error());
    return info;
}

/* An image whose base is taken must have moved: else the wrong thing would be measured. */
static void check_moved(void)
{
    struct peldr_module_info info;
    module = open_or_fail(path);
    info = info_of(module);
    if (info.base == info.preferred_base || peldr_close(module) != 0)
        fail("%s has not moved", path);
}

static void prepare(const struct options *options)
{
    path = options->arguments[0];
    if (options->keep)
        open_or_fail(options->keep);
    if (options->taken && !options->fresh)
        check_moved();
    wanders = options->wander;
    forgets = options->forget;
}

static void before(void)
{
    struct peldr_cache_removed removed;
    /* What --keep names is in use, and stays. */
    if (forgets && (peldr_cache_clear(&removed) != 0 || removed.kept_in_use > 1))
        fail("the cache is not empty: %s", peldr_error());
    if (wanders)
        wander_at = wander_at < WANDER_FIRST || wander_at + WANDER_STEP >= WANDER_LAST
                        ? WANDER_FIRST
                        : wander_at + WANDER_STEP;
}

static void load(void)
{
    module = open_or_fail(path);
}

static void unload(void)
{
    if (peldr_close(module) != 0)
        fail("%s", peldr_error());
}

static struct range range(void)
{
    struct peldr_module_info info = info_of(module);
    return (struct range){(const volatile char *)(uintptr_t)info.base, info.size};
}

static void *find(const char *name)
{
    return peldr_sym(module, name);
}

static int call(void *function)
{
    return ((int(PELDR_CDECL *)(void))function)();
}

static const struct contender contender_open = {.name = "open",
                                                .prepare = prepare,
                                                .before = before,
                                                .load = load,
                                                .unload = unload,
                                                .range = range,
                                                .find = find,
                                                .call = call};

/* ---- names ------------------------------------------------------------------------------------
 */

static char **names;

static void prepare_names(const struct options *options)
{
    prepare(options);
    module = open_or_fail(path);
    names = options->arguments + 1;
}

static void find_names(void)
{
    for (char **name = names; *name; name++)
        if (!peldr_sym(module, *name))
            fail("%s", peldr_error());
}

static void nothing(void)
{
}

static const struct contender contender_peldr_sym = {
    .name = "sym", .prepare = prepare_names, .load = find_names, .unload = nothing};

const struct contender *const contenders[] = {&contender_open, &contender_peldr_sym, NULL};
