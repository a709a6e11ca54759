/*
 * Registers the small builtin DLLs (smalldlls.h).
 */
#include "loader/win32/smalldlls.h"

#include "loader/win32/builtins.h"

/* A DLL: up to two tables, and the names that Windows exports (traps where no table has them). */
static struct small_dll {
    const char *name;
    struct ldr_builtin_family families[2];
    const size_t *counts[2];
    const char *const *names;
    const size_t *name_count;
    struct ldr_builtin builtin;
} dlls[] = {
#define TABLE(t)        \
    {{t##_exports, 0}}, \
    {                   \
        &t##_count      \
    }
#define TABLES(t, u)                      \
    {{t##_exports, 0}, {u##_exports, 0}}, \
    {                                     \
        &t##_count, &u##_count            \
    }
#define NAMES(dll) win32_names_##dll, &win32_names_##dll##_count
    {"ADVAPI32.dll", TABLES(advapi32, registry), NAMES(advapi32), {0}},
    {"bcrypt.dll", TABLE(bcrypt), NAMES(bcrypt), {0}},
    {"bcryptPrimitives.dll", TABLE(bcryptprimitives), NAMES(bcryptprimitives), {0}},
    {"PSAPI.DLL", TABLE(psapi), NULL, NULL, {0}},
    /* The same function, under the name that API sets give its host. */
    {"SHCORE.dll", TABLE(shell32), NULL, NULL, {0}},
    {"SHELL32.dll", TABLE(shell32), NAMES(shell32), {0}},
    {"USER32.dll", TABLES(user32, user32_icon), NAMES(user32), {0}},
    {"VERSION.dll", TABLE(version), NAMES(version), {0}},
    {"WS2_32.dll", TABLE(ws2_32), NAMES(ws2_32), {0}},
#undef TABLE
#undef TABLES
#undef NAMES
};

static void register_one(struct small_dll *dll, uint32_t base)
{
    size_t used = 0;
    for (; used < 2 && dll->counts[used]; used++)
        dll->families[used].count = *dll->counts[used];
    dll->builtin = (struct ldr_builtin){
        .name = dll->name,
        .preferred_base = base,
        .families = dll->families,
        .family_count = used,
        .names = dll->names,
        .name_count = dll->name_count ? *dll->name_count : 0,
    };
    win32_builtin_register(&dll->builtin);
}

void win32_smalldlls_register(void)
{
    for (size_t i = 0; i < sizeof(dlls) / sizeof(*dlls); i++)
        register_one(&dlls[i], WIN32_SMALL_DLLS_BASE - (uint32_t)i * WIN32_BASE_STRIDE);
}
