/*
 * The public API: modules that the host program provides (loader/peldr.h).
 */
#include <stdlib.h>
#include <string.h>

#include "loader/ldr/builtin.h"
#include "loader/peldr_api.h"

/* A registered module with all that it points to, in one piece; it lives as long as the process. */
struct host_module {
    struct ldr_builtin builtin;
    struct ldr_builtin_family family;
    struct ldr_builtin_export exports[];
};

static nt_status copy_exports(const struct peldr_export *exports, size_t count,
                              struct ldr_builtin_export *out, struct pe_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!exports[i].address || (!exports[i].name && !exports[i].ordinal)) {
            return pe_fail(err, STATUS_INVALID_PARAMETER,
                           "export %zu has no address, or neither a name nor an ordinal", i);
        }
        out[i] = (struct ldr_builtin_export){
            .name = exports[i].name ? strdup(exports[i].name) : NULL,
            .ordinal = exports[i].ordinal,
            .kind = LDR_EXPORT_FUNCTION,
            .address = exports[i].address,
        };
        if (exports[i].name && !out[i].name) {
            return pe_fail(err, STATUS_NO_MEMORY, "no memory for a host module");
        }
    }
    return STATUS_SUCCESS;
}

static void host_module_free(struct host_module *module)
{
    for (size_t i = 0; i < module->family.count; i++) {
        free((void *)(uintptr_t)module->exports[i].name);
    }
    free((void *)(uintptr_t)module->builtin.name);
    free(module);
}

static nt_status register_module(const char *name, const struct peldr_export *exports, size_t count,
                                 struct pe_error *err)
{
    if (!name || !*name || (count && !exports) || count > UINT16_MAX) {
        return pe_fail(err, STATUS_INVALID_PARAMETER,
                       "a host module needs a name and at most 65535 exports");
    }
    struct host_module *module = calloc(1, sizeof *module + count * sizeof *module->exports);
    if (!module) {
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for a host module");
    }
    module->family = (struct ldr_builtin_family){module->exports, count};
    module->builtin = (struct ldr_builtin){
        .name = strdup(name),
        .families = &module->family,
        .family_count = 1,
    };
    nt_status status = module->builtin.name ? copy_exports(exports, count, module->exports, err)
                                            : (nt_status)STATUS_NO_MEMORY;
    if (nt_ok(status)) {
        status = ldr_builtin_register(&module->builtin);
    }
    if (!nt_ok(status)) {
        host_module_free(module);
        return pe_fail(err, status, "%s cannot be registered: %s", name, nt_status_text(status));
    }
    return STATUS_SUCCESS;
}

int peldr_register_module(const char *name, const struct peldr_export *exports, size_t count)
{
    struct pe_error *err = peldr_begin();
    return peldr_result(register_module(name, exports, count, err));
}
