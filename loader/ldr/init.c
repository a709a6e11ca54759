/*
 * Entry points: who is called, when, in which order (facts 3.8).
 *
 * A module is initialised after everything that it needs; a cycle is cut where it is met again. TLS
 * callbacks come before the entry point for every reason. Detaching and thread calls follow the
 * recorded order, backwards and forwards.
 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "loader/ldr/entry.h"
#include "loader/ldr/gate.h"
#include "loader/ldr/load.h"
#include "loader/ldr/tls.h"

enum {
    DLL_PROCESS_DETACH,
    DLL_PROCESS_ATTACH,
    DLL_THREAD_ATTACH,
    DLL_THREAD_DETACH,
};

/* What static DLLs get as lpReserved: not NULL is what counts to most, but some change it. */
static _Alignas(16) unsigned char startup_context[LDR_STARTUP_CONTEXT_SIZE];

void *ldr_startup_context(void)
{
    return startup_context;
}

/* What came of an entry point that was called with DLL_PROCESS_ATTACH. */
enum outcome { ATTACHED, REFUSED, RAISED };

static enum outcome call_entry(const struct ldr_module *module, uint32_t reason, bool reserved,
                               uint32_t *exception)
{
    uint64_t entry = ldr_module_callable_entry(module);
    uintptr_t lp_reserved = reserved ? (uintptr_t)startup_context : 0, value;
    *exception = 0;
    if (!entry) {
        return ATTACHED;
    }
    if (!ldr_gate_try((uintptr_t)entry, (uintptr_t)mm_view_base(module->view), reason, lp_reserved,
                      &value, exception)) {
        return RAISED;
    }
    return (uint32_t)value != 0 ? ATTACHED : REFUSED;
}

/* ---- attach ---- */

/* TLS callbacks, then the entry point. For all reasons but one the answer does not matter. */
static void tell(const struct ldr_module *module, uint32_t reason, bool reserved)
{
    uint32_t exception;
    ldr_tls_call(module, reason);
    call_entry(module, reason, reserved, &exception);
}

static nt_status run_attach(struct ldr_module *module, struct pe_error *err)
{
    uint32_t exception;
    if (module->builtin && module->builtin->attach) {
        module->builtin->attach();
    }
    if (module->inert) {
        return STATUS_SUCCESS;
    }
    if (!module->tls.starts_late) {
        ldr_tls_call(module, DLL_PROCESS_ATTACH);
    }
    switch (call_entry(module, DLL_PROCESS_ATTACH, module->is_static, &exception)) {
    case ATTACHED:
        return STATUS_SUCCESS;
    case RAISED: /* such a module is not told anything any more */
        return pe_fail(err, STATUS_DLL_INIT_FAILED,
                       "the entry point of %s raised exception 0x%08X for DLL_PROCESS_ATTACH",
                       module->name, exception);
    case REFUSED:
        break;
    }
    tell(module, DLL_PROCESS_DETACH, module->is_static);
    return pe_fail(err, STATUS_DLL_INIT_FAILED,
                   "the entry point of %s returned FALSE for DLL_PROCESS_ATTACH", module->name);
}

static nt_status attach(struct ldr_module *module, struct pe_error *err)
{
    ldr_link_insert(ldr_init_order.prev, &module->init);
    ldr_entry_initialized(module->entry);
    nt_status status = run_attach(module, err);
    module->state = nt_ok(status) ? LDR_STATE_READY : LDR_STATE_FAILED;
    ldr_entry_update(module->entry, module);
    return status;
}

/*
 * Before Windows 8 a program whose DLLs have all been initialised when its turn comes (it imports
 * from kernel32 alone, which every process has) is not told of the start: the function that calls
 * DLL entry points and then the program's callbacks returns early when its list of entry points is
 * empty. Its callbacks are called at the end all the same (behaviours, TLS).
 */
static bool starts_late(const struct ldr_module *program)
{
    if (mm_view_image(program->view)->windows == PE_WINDOWS_10) {
        return false;
    }
    LDR_FOR_EACH(module, &ldr_load_order, order)
    {
        bool has_entry = module->builtin || ldr_module_callable_entry(module);
        if (module != program && module->state == LDR_STATE_LOADED && has_entry) {
            return false;
        }
    }
    return true;
}

nt_status ldr_initialize(struct ldr_module *module, struct pe_error *err)
{
    if (module->state == LDR_STATE_FAILED) {
        return pe_fail(err, STATUS_DLL_INIT_FAILED, "%s could not be initialised", module->name);
    }
    if (module->state != LDR_STATE_LOADED) {
        return STATUS_SUCCESS;
    }
    module->tls.starts_late = module->exe && starts_late(module);
    module->state = LDR_STATE_INITIALIZING;
    nt_status status = STATUS_SUCCESS;
    /* The array may grow and move while entry points run. */
    for (uint32_t i = 0; i < module->need_count && nt_ok(status); i++) {
        status = ldr_initialize(module->needs[i], err);
    }
    if (!nt_ok(status)) {
        module->state = LDR_STATE_LOADED;
        return status;
    }
    return attach(module, err);
}

/* ---- detach ---- */

void ldr_detach(struct ldr_module *module, bool process_exit)
{
    if (module->builtin && module->builtin->detach) {
        module->builtin->detach();
    }
    if (!module->inert) {
        tell(module, DLL_PROCESS_DETACH, process_exit);
    }
}

/* ---- all modules ---- */

struct snapshot {
    struct ldr_module **modules;
    uint32_t count;
};

/* The initialised modules in order, held: the code that is about to run may free any of them. */
static struct snapshot hold_ready(void)
{
    struct snapshot all = {0};
    uint32_t count = 0;
    LDR_FOR_EACH(module, &ldr_init_order, init)
    {
        count++;
    }
    all.modules = calloc(count ? count : 1, sizeof(*all.modules));
    if (!all.modules) {
        return all;
    }
    LDR_FOR_EACH(module, &ldr_init_order, init)
    {
        if (module->state == LDR_STATE_READY) {
            module->pending++;
            all.modules[all.count++] = module;
        }
    }
    return all;
}

static void let_go(struct snapshot *all)
{
    for (uint32_t i = 0; i < all->count; i++) {
        all->modules[i]->pending--;
    }
    free(all->modules);
    ldr_collect();
}

static void thread_call(const struct ldr_module *module, uint32_t reason)
{
    if (!module->inert && !module->no_thread_calls && module->state == LDR_STATE_READY) {
        tell(module, reason, false);
    }
}

void ldr_thread_attach(void)
{
    ldr_lock();
    struct snapshot all = hold_ready();
    for (uint32_t i = 0; i < all.count; i++) {
        thread_call(all.modules[i], DLL_THREAD_ATTACH);
    }
    let_go(&all);
    ldr_unlock();
}

/*
 * Modules end in these parts, in reverse order each. The program's TLS callbacks come when all DLLs
 * have been detached, the C runtime too (behaviours, TLS).
 */
enum part { DLLS, BUILTINS, PROGRAM };

static enum part part_of(const struct ldr_module *module)
{
    return module->exe ? PROGRAM : ldr_module_is_builtin(module) ? BUILTINS : DLLS;
}

void ldr_thread_detach(void)
{
    ldr_lock();
    struct snapshot all = hold_ready();
    for (enum part part = DLLS; part <= PROGRAM; part++) {
        for (uint32_t i = all.count; i-- > 0;) {
            if (part_of(all.modules[i]) == part) {
                thread_call(all.modules[i], DLL_THREAD_DETACH);
            }
        }
    }
    let_go(&all);
    ldr_unlock();
}

static void detach_all(const struct snapshot *all, enum part part)
{
    for (uint32_t i = all->count; i-- > 0;) {
        struct ldr_module *module = all->modules[i];
        if (part_of(module) == part && module->state == LDR_STATE_READY) {
            module->state = LDR_STATE_DETACHED;
            ldr_detach(module, true);
        }
    }
}

void ldr_process_detach(void)
{
    if (!ldr_lock_for_exit()) {
        return;
    }
    ldr_entry_shutdown();
    struct snapshot all = hold_ready();
    for (enum part part = DLLS; part <= PROGRAM; part++) {
        detach_all(&all, part);
    }
    let_go(&all);
    ldr_unlock();
}

nt_status ldr_disable_thread_calls(struct ldr_module *module)
{
    nt_status status = STATUS_SUCCESS;
    ldr_lock();
    if (!ldr_module_valid(module) || module->kind != LDR_KIND_IMAGE) {
        status = STATUS_DLL_NOT_FOUND;
    } else if (module->tls.slot != LDR_NO_TLS_SLOT) {
        status = STATUS_UNSUCCESSFUL;
    } else {
        module->no_thread_calls = true;
        ldr_entry_update(module->entry, module);
    }
    ldr_unlock();
    return status;
}
