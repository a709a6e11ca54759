/*
 * The loader's lists in the form that images walk (entry.h).
 *
 * Offsets are asserted for both word sizes: compiled code has them built in. InMemoryOrder is kept
 * equal to InLoadOrder, as Windows keeps it.
 */
#include "loader/ldr/entry.h"

#include <stdlib.h>
#include <time.h>

struct ldr_string {
    uint16_t length, maximum_length; /* bytes */
    uint16_t *buffer;
};

struct ldr_tree_node {
    void *children[2];
    uintptr_t parent;
};

struct ldr_entry {
    struct ldr_link in_load_order, in_memory_order, in_initialization_order;
    void *dll_base;
    void *entry_point;
    uint32_t size_of_image;
    struct ldr_string full_dll_name, base_dll_name;
    uint32_t flags;
    uint16_t obsolete_load_count, tls_index;
    struct ldr_link hash_links;
    uint32_t time_date_stamp;
    void *entry_point_activation_context;
    void *lock;
    void *ddag_node;
    struct ldr_link node_module_link;
    void *load_context;
    void *parent_dll_base;
    void *switch_back_context;
    struct ldr_tree_node base_address_index_node, mapping_info_index_node;
    uintptr_t original_base;
    int64_t load_time __attribute__((aligned(8)));
    uint32_t base_name_hash_value;
    uint32_t load_reason;
    uint32_t implicit_path_options;
    uint32_t reference_count;
    uint32_t dependent_load_flags;
    uint8_t signing_level;
};

struct ldr_peb_data {
    uint32_t length;
    uint8_t initialized;
    void *ss_handle;
    struct ldr_link in_load_order, in_memory_order, in_initialization_order;
    void *entry_in_progress;
    uint8_t shutdown_in_progress;
    void *shutdown_thread_id;
};

#define OFFSET_IS(type, member, x64, x86)                                                  \
    _Static_assert(offsetof(struct type, member) == (sizeof(void *) == 8 ? (x64) : (x86)), \
                   #type "." #member)
OFFSET_IS(ldr_entry, dll_base, 0x30, 0x18);
OFFSET_IS(ldr_entry, size_of_image, 0x40, 0x20);
OFFSET_IS(ldr_entry, full_dll_name, 0x48, 0x24);
OFFSET_IS(ldr_entry, base_dll_name, 0x58, 0x2c);
OFFSET_IS(ldr_entry, flags, 0x68, 0x34);
OFFSET_IS(ldr_entry, tls_index, 0x6e, 0x3a);
OFFSET_IS(ldr_entry, hash_links, 0x70, 0x3c);
OFFSET_IS(ldr_entry, time_date_stamp, 0x80, 0x44);
OFFSET_IS(ldr_entry, ddag_node, 0x98, 0x50);
OFFSET_IS(ldr_entry, base_address_index_node, 0xc8, 0x68);
OFFSET_IS(ldr_entry, original_base, 0xf8, 0x80);
OFFSET_IS(ldr_entry, load_time, 0x100, 0x88);
OFFSET_IS(ldr_entry, base_name_hash_value, 0x108, 0x90);
OFFSET_IS(ldr_entry, reference_count, 0x114, 0x9c);
OFFSET_IS(ldr_peb_data, in_load_order, 0x10, 0x0c);
OFFSET_IS(ldr_peb_data, in_initialization_order, 0x30, 0x1c);
OFFSET_IS(ldr_peb_data, entry_in_progress, 0x40, 0x24);
OFFSET_IS(ldr_peb_data, shutdown_thread_id, 0x50, 0x2c);

enum {
    LDRP_STATIC_LINK = 0x2,
    LDRP_IMAGE_DLL = 0x4,
    LDRP_ENTRY_PROCESSED = 0x4000,
    LDRP_DONT_CALL_FOR_THREADS = 0x40000,
    LDRP_PROCESS_ATTACH_CALLED = 0x80000,
    LDRP_IMAGE_NOT_AT_BASE = 0x200000,
};

enum { LDR_REASON_STATIC_DEPENDENCY = 0, LDR_REASON_DYNAMIC_LOAD = 4 };

static struct ldr_peb_data peb_data = {
    .length = sizeof peb_data,
    .initialized = 1,
    .in_load_order = {&peb_data.in_load_order, &peb_data.in_load_order},
    .in_memory_order = {&peb_data.in_memory_order, &peb_data.in_memory_order},
    .in_initialization_order = {&peb_data.in_initialization_order,
                                &peb_data.in_initialization_order},
};

void *ldr_peb_ldr(void)
{
    return &peb_data;
}

static struct ldr_string string_of(uint16_t *text)
{
    uint16_t length = 0;
    while (text[length] && length < UINT16_MAX / 2 - 1) {
        length++;
    }
    return (struct ldr_string){(uint16_t)(2 * length), (uint16_t)(2 * length + 2), text};
}

/* The base name is the tail of the full one, in the same buffer. */
static struct ldr_string tail_of(struct ldr_string full)
{
    uint16_t start = 0;
    for (uint16_t i = 0; i < full.length / 2; i++) {
        uint16_t c = full.buffer[i];
        start = c == '\\' || c == '/' || c == ':' ? (uint16_t)(i + 1) : start;
    }
    return (struct ldr_string){(uint16_t)(full.length - 2 * start),
                               (uint16_t)(full.maximum_length - 2 * start), full.buffer + start};
}

/* RtlHashUnicodeString with HASH_STRING_ALGORITHM_X65599, without case. */
static uint32_t hash_of(struct ldr_string name)
{
    uint32_t hash = 0;
    for (uint16_t i = 0; i < name.length / 2; i++) {
        uint16_t c = name.buffer[i];
        hash = hash * 65599 + (c >= 'a' && c <= 'z' ? c - 32u : c);
    }
    return hash;
}

/* 100 ns since 1601. */
static int64_t system_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (now.tv_sec + 11644473600LL) * 10000000LL + now.tv_nsec / 100;
}

nt_status ldr_entry_create(const struct ldr_module *module, struct ldr_entry **out,
                           struct pe_error *err)
{
    struct ldr_entry *entry = calloc(1, sizeof *entry);
    if (!entry) {
        return pe_fail(err, STATUS_NO_MEMORY, "%s: not enough memory", module->name);
    }
    const struct pe_headers *h = &mm_view_image(module->view)->h;
    ldr_link_init(&entry->in_load_order);
    ldr_link_init(&entry->in_memory_order);
    ldr_link_init(&entry->in_initialization_order);
    ldr_link_init(&entry->hash_links);
    ldr_link_init(&entry->node_module_link);
    entry->dll_base = (void *)(uintptr_t)ldr_module_base(module);
    entry->entry_point = (void *)(uintptr_t)ldr_module_entry_point(module);
    entry->size_of_image = mm_view_size(module->view);
    entry->full_dll_name = string_of(module->windows_path);
    entry->base_dll_name = tail_of(entry->full_dll_name);
    entry->time_date_stamp = h->time_date_stamp;
    entry->original_base = (uintptr_t)module->relocation.preferred_base;
    entry->load_time = system_time();
    entry->base_name_hash_value = hash_of(entry->base_dll_name);
    ldr_entry_update(entry, module);
    *out = entry;
    return STATUS_SUCCESS;
}

void ldr_entry_destroy(struct ldr_entry *entry)
{
    if (entry) {
        ldr_link_remove(&entry->in_load_order);
        ldr_link_remove(&entry->in_memory_order);
        ldr_link_remove(&entry->in_initialization_order);
        free(entry);
    }
}

void ldr_entry_list(struct ldr_entry *entry, bool first)
{
    struct ldr_link *load = &peb_data.in_load_order, *memory = &peb_data.in_memory_order;
    ldr_link_insert(first ? load : load->prev, &entry->in_load_order);
    ldr_link_insert(first ? memory : memory->prev, &entry->in_memory_order);
}

void ldr_entry_initialized(struct ldr_entry *entry)
{
    ldr_link_insert(peb_data.in_initialization_order.prev, &entry->in_initialization_order);
}

void ldr_entry_update(struct ldr_entry *entry, const struct ldr_module *module)
{
    const struct pe_headers *h = &mm_view_image(module->view)->h;
    bool attached = module->state == LDR_STATE_READY && !module->inert;
    entry->flags = (h->characteristics & IMAGE_FILE_DLL ? LDRP_IMAGE_DLL : 0) |
                   (module->is_static ? LDRP_STATIC_LINK : 0) |
                   (module->state != LDR_STATE_LOADED ? LDRP_ENTRY_PROCESSED : 0) |
                   (attached ? LDRP_PROCESS_ATTACH_CALLED : 0) |
                   (module->no_thread_calls ? LDRP_DONT_CALL_FOR_THREADS : 0) |
                   (module->relocation.delta ? LDRP_IMAGE_NOT_AT_BASE : 0);
    /* Windows Vista and later: -1 says that the module has a slot, which is kept elsewhere. */
    entry->tls_index = module->tls.slot == LDR_NO_TLS_SLOT ? 0 : 0xffff;
    int32_t references = module->pinned ? -1 : module->references;
    entry->obsolete_load_count = (uint16_t)references;
    entry->reference_count = (uint32_t)references;
    entry->load_reason = module->is_static ? LDR_REASON_STATIC_DEPENDENCY : LDR_REASON_DYNAMIC_LOAD;
}

void ldr_entry_shutdown(void)
{
    peb_data.shutdown_in_progress = 1;
}
