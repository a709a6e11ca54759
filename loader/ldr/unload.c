/*
 * References from outside: holding, pinning, letting go, and the end of the loader's use.
 */
#include "loader/ldr/entry.h"
#include "loader/ldr/load.h"
#include "loader/ldr/search.h"

void ldr_module_addref(struct ldr_module *module)
{
    ldr_lock();
    module->references++;
    if (module->entry) {
        ldr_entry_update(module->entry, module);
    }
    ldr_unlock();
}

void ldr_module_pin(struct ldr_module *module)
{
    ldr_lock();
    module->pinned = true;
    if (module->entry) {
        ldr_entry_update(module->entry, module);
    }
    ldr_unlock();
}

static void release(struct ldr_module *module)
{
    module->references--;
    if (module->kind == LDR_KIND_IMAGE) {
        ldr_entry_update(module->entry, module);
        ldr_collect();
    } else if (module->references == 0) {
        ldr_module_destroy(module);
    }
}

nt_status ldr_unload(struct ldr_module *module, struct pe_error *err)
{
    nt_status status = STATUS_SUCCESS;
    ldr_lock();
    if (!ldr_module_valid(module)) {
        status = pe_fail(err, STATUS_INVALID_HANDLE, "%p is no loaded module", (void *)module);
    } else if (module->references > 0) {
        release(module);
    } else if (!module->pinned) {
        status =
            pe_fail(err, STATUS_INVALID_HANDLE, "%s is held by its importers only", module->name);
    }
    ldr_unlock();
    return status;
}

/* Lets go of all builtin modules, or of all others. */
static void drop_all(bool builtin)
{
    LDR_FOR_EACH(module, &ldr_load_order, order)
    {
        if (ldr_module_is_builtin(module) == builtin) {
            module->references = 0;
            module->pinned = false;
        }
    }
    ldr_collect();
}

void ldr_shutdown(void)
{
    ldr_lock();
    drop_all(false);
    drop_all(true);
    while (!ldr_link_alone(&ldr_unlisted)) {
        ldr_module_destroy(LDR_CONTAINER(ldr_unlisted.next, struct ldr_module, order));
    }
    ldr_search_set_application_dir(NULL);
    mm_section_forget_known();
    ldr_unlock();
}
