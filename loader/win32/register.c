/*
 * Registers the builtin modules with ldr/.
 */
#include <pthread.h>
#include <string.h>

#include "loader/ldr/path.h"
#include "loader/ob/section.h"
#include "loader/win32/builtins.h"
#include "loader/win32/crt/crt.h"
#include "loader/win32/file.h"
#include "loader/win32/modules.h"
#include "loader/win32/smalldlls.h"
#include "loader/win32/waitable.h"
#include "loader/win32/win32.h"

static struct ldr_builtin *const modules[] = {
    &win32_ntdll,
    &win32_kernel32,
    &win32_kernelbase,
};
#define MODULE_COUNT (sizeof(modules) / sizeof(*modules))

static void register_all(void)
{
    win32_file_register();
    win32_timer_register();
    ob_section_register();
    win32_ntdll_prepare();
    win32_kernel32_prepare();
    win32_kernelbase_prepare();
    for (size_t i = 0; i < MODULE_COUNT; i++)
        win32_builtin_register(modules[i]);
    win32_crt_register();
    win32_smalldlls_register();
}

void win32_register(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_all);
}

/* The builtin that a forwarder's module part ("NTDLL") names. */
static const struct ldr_builtin *module_of(const char *forward, size_t length)
{
    for (size_t i = 0; i < MODULE_COUNT; i++) {
        const char *name = modules[i]->name;
        if (!strncasecmp(name, forward, length) && !ldr_casecmp(name + length, ".dll"))
            return modules[i];
    }
    return NULL;
}

static const struct ldr_builtin_export *find_export(const struct ldr_builtin *builtin,
                                                    const char *name)
{
    for (size_t i = 0; i < builtin->family_count; i++) {
        const struct ldr_builtin_family *family = &builtin->families[i];
        for (size_t k = 0; k < family->count; k++) {
            if (family->exports[k].name && !strcmp(family->exports[k].name, name))
                return &family->exports[k];
        }
    }
    return NULL;
}

const void *win32_find(const struct ldr_builtin *builtin, const char *name)
{
    ldr_builtin_complete(builtin);
    const struct ldr_builtin_export *found = find_export(builtin, name);
    if (!found || found->kind != LDR_EXPORT_FORWARD)
        return found ? found->address : NULL;
    const char *dot = strrchr(found->forward, '.');
    const struct ldr_builtin *target =
        dot ? module_of(found->forward, (size_t)(dot - found->forward)) : NULL;
    return target ? win32_find(target, dot + 1) : NULL;
}
