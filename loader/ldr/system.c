/*
 * The modules that every process has, and the end of them all.
 */
#include "loader/ldr/system.h"

#include "loader/ldr/builtin_image.h"
#include "loader/ldr/load.h"
#include "loader/ldr/map.h"

/* Load order: the EXE is put before these. Windows initialises kernelbase before kernel32. */
static const char *const load_order[] = {"ntdll.dll", "kernel32.dll", "kernelbase.dll"};
static const char *const init_order[] = {"ntdll.dll", "kernelbase.dll", "kernel32.dll"};
#define COUNT (sizeof load_order / sizeof load_order[0])

static nt_status bring_in(struct ldr_load *load, const char *name, struct pe_error *err)
{
    const struct ldr_builtin *builtin = ldr_builtin_find(name);
    if (!builtin || ldr_find_base_name(name)) {
        return STATUS_SUCCESS;
    }
    struct ldr_source source = {.name = builtin->name, .fd = -1, .builtin = builtin};
    struct ldr_module *module = NULL;
    nt_status status = ldr_map_image(&source, LDR_KIND_IMAGE, 0, 0, &module, err);
    return nt_ok(status) ? ldr_load_stage(load, module, err) : status;
}

/* The last one to be initialised is: so are the others, and they stay. */
static bool are_ready(void)
{
    const struct ldr_module *last = ldr_find_base_name(init_order[COUNT - 1]);
    return last && last->builtin && last->state == LDR_STATE_READY;
}

nt_status ldr_system_modules(struct pe_error *err)
{
    struct ldr_load load = {0};
    nt_status status = STATUS_SUCCESS;
    if (are_ready()) {
        return status;
    }
    for (size_t i = 0; i < COUNT && nt_ok(status); i++) {
        status = bring_in(&load, load_order[i], err);
    }
    if (nt_ok(status)) {
        status = ldr_load_seal(&load, err);
    }
    for (size_t i = 0; i < COUNT && nt_ok(status); i++) {
        struct ldr_module *module = ldr_find_base_name(init_order[i]);
        status = module ? ldr_initialize(module, err) : STATUS_SUCCESS;
    }
    ldr_load_end(&load, nt_ok(status));
    return status;
}
