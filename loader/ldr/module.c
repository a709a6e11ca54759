/*
 * Module records: the lock, the lists, creation and destruction, edges, accessors.
 */
#include "loader/ldr/module.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loader/ldr/entry.h"
#include "loader/ldr/imagemap.h"
#include "loader/ldr/index.h"
#include "loader/ldr/path.h"
#include "loader/ldr/search.h"
#include "loader/ldr/tls.h"
#include "loader/ob/object.h"

struct ldr_link ldr_load_order = {&ldr_load_order, &ldr_load_order};
struct ldr_link ldr_init_order = {&ldr_init_order, &ldr_init_order};
struct ldr_link ldr_unlisted = {&ldr_unlisted, &ldr_unlisted};

static pthread_mutex_t loader_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

void ldr_lock(void)
{
    if (pthread_mutex_trylock(&loader_lock) == 0)
        return;
    /* It may take as long as an entry point runs: this thread may be suspended meanwhile. */
    ob_asleep = true;
    pthread_mutex_lock(&loader_lock);
    ob_asleep = false;
}

bool ldr_trylock(void)
{
    return pthread_mutex_trylock(&loader_lock) == 0;
}

void ldr_unlock(void)
{
    pthread_mutex_unlock(&loader_lock);
}

bool ldr_lock_for_exit(void)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec++;
    return pthread_mutex_timedlock(&loader_lock, &deadline) == 0;
}

/* ---- life ---- */

/* The path that images see: System32 for builtins, the Z: view of a file, else the bare name. */
static uint16_t *windows_path_of(const char *name, const char *path, bool builtin)
{
    static const uint16_t system32[] = u"C:\\Windows\\System32\\";
    uint16_t text[2 + PATH_MAX];
    const size_t room = sizeof text / sizeof *text;
    size_t length = 0;
    if (*path) {
        length = ldr_path_to_windows(path, text, room);
    } else {
        if (builtin) {
            length = sizeof system32 / sizeof *system32 - 1;
            memcpy(text, system32, sizeof system32);
        }
        length += ldr_utf8_to_utf16(name, strlen(name), text + length, room - length);
    }
    if (length >= room) {
        length = room - 1; /* a name longer than any path is cut, as it is converted */
    }
    text[length] = 0;
    uint16_t *out = malloc((length + 1) * sizeof *out);
    if (out) {
        memcpy(out, text, (length + 1) * sizeof *out);
    }
    return out;
}

nt_status ldr_module_create(enum ldr_kind kind, const char *name, const char *path, bool builtin,
                            struct ldr_module **out, struct pe_error *err)
{
    struct ldr_module *module = calloc(1, sizeof *module);
    if (!module) {
        return pe_fail(err, STATUS_NO_MEMORY, "%s: not enough memory", name);
    }
    ldr_link_init(&module->order);
    ldr_link_init(&module->init);
    ldr_link_init(&module->doomed);
    module->kind = kind;
    module->file_fd = -1;
    module->tls.slot = LDR_NO_TLS_SLOT;
    module->name = strdup(ldr_base_name(name));
    module->path = strdup(path ? path : "");
    if (module->name && module->path) {
        module->windows_path = windows_path_of(module->name, module->path, builtin);
    }
    if (!module->windows_path) {
        ldr_module_destroy(module);
        return pe_fail(err, STATUS_NO_MEMORY, "%s: not enough memory", name);
    }
    *out = module;
    return STATUS_SUCCESS;
}

void ldr_module_destroy(struct ldr_module *module)
{
    if (!module) {
        return;
    }
    if (!ldr_link_alone(&module->order)) {
        ldr_index_remove(module);
    }
    ldr_link_remove(&module->order);
    ldr_link_remove(&module->init);
    ldr_tls_detach(module);
    ldr_entry_destroy(module->entry);
    if (module->view && module->kind == LDR_KIND_IMAGE) {
        ldr_image_remove((uintptr_t)mm_view_base(module->view));
    }
    mm_view_unmap(module->view);
    if (module->file_fd >= 0) {
        close(module->file_fd);
    }
    ob_backing_close(module->backing);
    if (module->data_file.data) {
        mm_file_unmap(module->data_file);
    } else if (module->data_address) {
        mm_free(module->data_address, 0, MEM_RELEASE, NULL);
    }
    free(module->data_image);
    free(module->needs);
    free(module->name);
    free(module->path);
    free(module->windows_path);
    free(module);
}

void ldr_module_list(struct ldr_module *module, bool first)
{
    struct ldr_link *head = module->kind == LDR_KIND_IMAGE ? &ldr_load_order : &ldr_unlisted;
    ldr_link_insert(first ? head : head->prev, &module->order);
    ldr_index_add(module, first);
    if (module->entry) {
        ldr_entry_list(module->entry, first);
    }
}

nt_status ldr_module_need(struct ldr_module *module, struct ldr_module *other, bool *added,
                          struct pe_error *err)
{
    if (added) {
        *added = false;
    }
    for (uint32_t i = 0; i < module->need_count; i++) {
        if (module->needs[i] == other) {
            return STATUS_SUCCESS;
        }
    }
    if (module == other) {
        return STATUS_SUCCESS;
    }
    if (module->need_count == module->need_capacity) {
        uint32_t capacity = module->need_capacity ? module->need_capacity * 2 : 8;
        struct ldr_module **grown = realloc(module->needs, capacity * sizeof(*grown));
        if (!grown) {
            return pe_fail(err, STATUS_NO_MEMORY, "%s: not enough memory", module->name);
        }
        module->needs = grown;
        module->need_capacity = capacity;
    }
    module->needs[module->need_count++] = other;
    if (added) {
        *added = true;
    }
    return STATUS_SUCCESS;
}

void ldr_module_unneed(struct ldr_module *module, const struct ldr_module *other)
{
    for (uint32_t i = 0; i < module->need_count; i++) {
        if (module->needs[i] == other) {
            memmove(&module->needs[i], &module->needs[i + 1],
                    (--module->need_count - i) * sizeof(*module->needs));
            return;
        }
    }
}

/* ---- accessors ---- */

const char *ldr_module_name(const struct ldr_module *module)
{
    return module->name;
}

const char *ldr_module_path(const struct ldr_module *module)
{
    return module->path;
}

const uint16_t *ldr_module_windows_path(const struct ldr_module *module)
{
    return module->windows_path;
}

uint64_t ldr_module_base(const struct ldr_module *module)
{
    return module->view ? mm_view_base(module->view) : module->data_address;
}

struct mm_view *ldr_module_view(const struct ldr_module *module)
{
    return module->view;
}

const struct pe_image *ldr_module_image(const struct ldr_module *module)
{
    return module->view ? mm_view_image(module->view) : module->data_image;
}

const struct reloc_plan *ldr_module_relocation(const struct ldr_module *module)
{
    return &module->relocation;
}

bool ldr_module_relocation_is_cached(const struct ldr_module *module)
{
    return module->relocation_cached;
}

const char *ldr_module_moved_because(struct ldr_module *module)
{
    ldr_lock();
    if (module->view && !*module->moved_because &&
        mm_view_base(module->view) != mm_view_image(module->view)->h.image_base) {
        mm_describe_host_conflict(mm_view_image(module->view)->h.image_base,
                                  mm_view_size(module->view), module->moved_because,
                                  sizeof module->moved_because);
    }
    ldr_unlock();
    return module->moved_because;
}

bool ldr_module_is_builtin(const struct ldr_module *module)
{
    return module->builtin != NULL;
}

int32_t ldr_module_references(const struct ldr_module *module)
{
    if (module->pinned) {
        return -1;
    }
    int32_t count = module->references;
    ldr_lock();
    LDR_FOR_EACH(importer, &ldr_load_order, order)
    {
        for (uint32_t i = 0; i < importer->need_count; i++) {
            count += importer->needs[i] == module;
        }
    }
    ldr_unlock();
    return count;
}

uint64_t ldr_module_entry_point(const struct ldr_module *module)
{
    if (!module->view) {
        return 0;
    }
    const struct pe_headers *h = &mm_view_image(module->view)->h;
    bool dll = h->characteristics & IMAGE_FILE_DLL;
    /* An EXE with AddressOfEntryPoint 0 starts at its base (behaviours, Headers). */
    if (h->address_of_entry_point == 0 && dll) {
        return 0;
    }
    /* Of PE32 the sum has 32 bits: the entry point may lie below the image. */
    uint64_t entry = mm_view_base(module->view) + h->address_of_entry_point + module->entry_shift;
    return h->pe32_plus ? entry : (uint32_t)entry;
}

/*
 * An entry point that lies outside of its DLL: Windows calls whatever is there, or not (behaviours,
 * DLL loading: never confirmed, but such DLLs load). Here it is called when it is another module's.
 */
uint64_t ldr_module_callable_entry(const struct ldr_module *module)
{
    const struct pe_headers *h = &mm_view_image(module->view)->h;
    uint64_t entry = ldr_module_entry_point(module);
    bool dll = h->characteristics & IMAGE_FILE_DLL;
    bool inside = h->address_of_entry_point < mm_view_size(module->view);
    return dll && (inside || ldr_find_by_address(entry)) ? entry : 0;
}
