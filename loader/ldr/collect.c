/*
 * Unloading: whatever nothing leads to any more (facts 3.8).
 *
 * Reference counts of importers would keep cycles alive for ever, so a module stays exactly as long
 * as a path leads to it from a root: a module that somebody holds (LoadLibrary), that is pinned, or
 * that belongs to a load or unload in progress. A failed load ends here as well.
 */
#include "loader/ldr/load.h"

static bool is_root(const struct ldr_module *module)
{
    return module->references > 0 || module->pinned || module->pending > 0 ||
           module->state == LDR_STATE_UNLOADING;
}

static void reach(struct ldr_module *module)
{
    if (module->reached) {
        return;
    }
    module->reached = true;
    for (uint32_t i = 0; i < module->need_count; i++) {
        reach(module->needs[i]);
    }
}

static void mark(void)
{
    LDR_FOR_EACH(module, &ldr_load_order, order)
    {
        module->reached = false;
    }
    LDR_FOR_EACH(module, &ldr_load_order, order)
    {
        if (is_root(module)) {
            reach(module);
        }
    }
}

/* Chains the unreached modules: those that were initialised in reverse order, then the others. */
static void choose(struct ldr_link *doomed)
{
    for (struct ldr_link *link = ldr_init_order.prev; link != &ldr_init_order; link = link->prev) {
        struct ldr_module *module = LDR_CONTAINER(link, struct ldr_module, init);
        if (!module->reached) {
            ldr_link_insert(doomed->prev, &module->doomed);
        }
    }
    LDR_FOR_EACH(module, &ldr_load_order, order)
    {
        if (!module->reached && ldr_link_alone(&module->doomed)) {
            ldr_link_insert(doomed->prev, &module->doomed);
        }
    }
}

/* One round; false when there was nothing to unload. */
static bool collect_once(void)
{
    struct ldr_link doomed;
    ldr_link_init(&doomed);
    mark();
    choose(&doomed);
    if (ldr_link_alone(&doomed)) {
        return false;
    }
    /* All are marked before any code of them runs: that code may load and free modules itself. */
    LDR_FOR_EACH(module, &doomed, doomed)
    {
        module->was_ready = module->state == LDR_STATE_READY;
        module->state = LDR_STATE_UNLOADING;
    }
    LDR_FOR_EACH(module, &doomed, doomed)
    {
        if (module->was_ready) {
            ldr_detach(module, false);
        }
    }
    while (!ldr_link_alone(&doomed)) {
        struct ldr_module *module = LDR_CONTAINER(doomed.next, struct ldr_module, doomed);
        ldr_link_remove(&module->doomed);
        ldr_module_destroy(module);
    }
    return true;
}

void ldr_collect(void)
{
    while (collect_once()) {
    }
}
