/*
 * Modules and their reference counts (ldr/snapshot.h).
 */
#include "loader/ldr/snapshot.h"

#include <stdlib.h>

#include "loader/ldr/entry.h"
#include "loader/ldr/module.h"
#include "loader/mm/snapshot.h"

struct kept_module {
    struct ldr_module *module;
    uint64_t base;
    int32_t references;
    uint32_t need_count;
    bool pinned, no_thread_calls;
};

struct ldr_snapshot {
    uint32_t listed, unlisted; /* of `modules`: first those in load order */
    struct kept_module modules[];
};

static uint32_t count_links(const struct ldr_link *head)
{
    uint32_t count = 0;
    for (const struct ldr_link *link = head->next; link != head; link = link->next) {
        count++;
    }
    return count;
}

static uint32_t gather(struct kept_module *out, struct ldr_link *head)
{
    uint32_t count = 0;
    LDR_FOR_EACH(module, head, order)
    {
        out[count++] = (struct kept_module){
            .module = module,
            .base = ldr_module_base(module),
            .references = module->references,
            .need_count = module->need_count,
            .pinned = module->pinned,
            .no_thread_calls = module->no_thread_calls,
        };
    }
    return count;
}

/* Builtin modules point to what the process has, which does not go back. */
static void exempt_builtin(void)
{
    LDR_FOR_EACH(module, &ldr_load_order, order)
    {
        if (module->builtin) {
            mm_exempt(mm_view_base(module->view));
        }
    }
}

nt_status ldr_snapshot_take(struct ldr_snapshot **out, struct pe_error *err)
{
    ldr_lock();
    uint32_t listed = count_links(&ldr_load_order), unlisted = count_links(&ldr_unlisted);
    struct ldr_snapshot *snapshot =
        calloc(1, sizeof(*snapshot) + (listed + unlisted) * sizeof(snapshot->modules[0]));
    nt_status status = STATUS_SUCCESS;
    if (snapshot) {
        snapshot->listed = gather(snapshot->modules, &ldr_load_order);
        snapshot->unlisted = gather(snapshot->modules + listed, &ldr_unlisted);
        exempt_builtin();
    } else {
        status = pe_fail(err, STATUS_NO_MEMORY, "no memory for a snapshot");
    }
    ldr_unlock();
    *out = snapshot;
    return status;
}

/* New modules come last in each list, the EXE aside, which comes first. */
static nt_status compare(const struct kept_module *kept, uint32_t count, struct ldr_link *head,
                         struct pe_error *err)
{
    uint32_t found = 0;
    LDR_FOR_EACH(module, head, order)
    {
        if (found < count && kept[found].module == module &&
            kept[found].base == ldr_module_base(module)) {
            found++;
        }
    }
    if (found == count) {
        return STATUS_SUCCESS;
    }
    return pe_fail(err, STATUS_DLL_NOT_FOUND,
                   "the module at 0x%llx was unloaded after the snapshot, which cannot be undone",
                   (unsigned long long)kept[found].base);
}

nt_status ldr_snapshot_check(const struct ldr_snapshot *snapshot, struct pe_error *err)
{
    ldr_lock();
    nt_status status = compare(snapshot->modules, snapshot->listed, &ldr_load_order, err);
    if (nt_ok(status)) {
        status =
            compare(snapshot->modules + snapshot->listed, snapshot->unlisted, &ldr_unlisted, err);
    }
    ldr_unlock();
    return status;
}

static void put_back(const struct kept_module *kept)
{
    struct ldr_module *module = kept->module;
    if (module->need_count > kept->need_count) {
        module->need_count = kept->need_count; /* new ones come last */
    }
    module->no_thread_calls = kept->no_thread_calls;
    if (module->references == kept->references && module->pinned == kept->pinned) {
        return;
    }
    module->references = kept->references;
    module->pinned = kept->pinned;
    if (module->entry) {
        ldr_entry_update(module->entry, module);
    }
}

/* A module that came since: nothing holds it, and its entry point is not called any more. */
static void let_go(struct ldr_module *module)
{
    if (module->builtin) {
        module->pinned = true;
        mm_exempt(mm_view_base(module->view));
        return;
    }
    module->references = 0;
    module->pending = 0;
    module->pinned = false;
    module->state = LDR_STATE_LOADED;
}

static void reset_listed(const struct ldr_snapshot *snapshot)
{
    uint32_t found = 0;
    bool came = false;
    LDR_FOR_EACH(module, &ldr_load_order, order)
    {
        if (found < snapshot->listed && snapshot->modules[found].module == module) {
            put_back(&snapshot->modules[found++]);
        } else {
            let_go(module);
            came = true;
        }
    }
    if (came) {
        ldr_collect();
    }
}

static void reset_unlisted(const struct ldr_snapshot *snapshot)
{
    const struct kept_module *kept = snapshot->modules + snapshot->listed;
    uint32_t found = 0;
    for (struct ldr_link *link = ldr_unlisted.next, *next; link != &ldr_unlisted; link = next) {
        struct ldr_module *module = LDR_CONTAINER(link, struct ldr_module, order);
        next = link->next;
        if (found < snapshot->unlisted && kept[found].module == module) {
            module->references = kept[found++].references;
        } else {
            ldr_module_destroy(module);
        }
    }
}

void ldr_snapshot_reset(const struct ldr_snapshot *snapshot)
{
    ldr_lock();
    reset_listed(snapshot);
    reset_unlisted(snapshot);
    ldr_unlock();
}

void ldr_snapshot_drop(struct ldr_snapshot *snapshot)
{
    free(snapshot);
}
