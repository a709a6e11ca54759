/*
 * Static TLS (facts 3.7; PE specification, "The .tls Section").
 *
 * Each module with a TLS directory owns one slot; each registered thread has an array of blocks
 * that TEB.ThreadLocalStoragePointer points to. The array has its full size from the start, so it
 * never moves under a running thread when a DLL comes in late.
 */
#include "loader/ldr/tls.h"

#include <stdlib.h>
#include <string.h>

#include "loader/ldr/gate.h"
#include "loader/mm/heap.h"
#include "pe/dirs.h"

/* Windows's own bound: 64 TLS slots and 1024 expansion slots. */
#define SLOT_COUNT 1088u
/* The directory's sizes are not validated (behaviours, TLS); what no linker writes counts as
 * nothing. */
#define MAX_PART      0x10000000u
#define MAX_CALLBACKS 0x10000u
#define MIN_ALIGNMENT 16u
/* A template is mostly zero fill where it is larger than the image's file, and than this. */
#define MIN_COPIED 0x100000u

static struct ldr_module *owners[SLOT_COUNT];
static struct ldr_thread *threads;

/* ---- blocks ---- */

/*
 * Zeroed memory, of which only the pages that are touched cost anything, whatever its alignment.
 * The word in front of a block says where its allocation begins.
 */
static void *block_create(const struct ldr_tls *tls)
{
    size_t room = tls->alignment + sizeof(void *);
    size_t size = (size_t)tls->template_size + tls->zero_fill;
    char *memory = mm_heap_zalloc(mm_heap_process(), room + size);
    if (!memory) {
        return NULL;
    }
    void **block = (void **)((uintptr_t)(memory + room) & ~(uintptr_t)(tls->alignment - 1));
    block[-1] = memory;
    if (tls->copied) {
        memcpy(block, tls->template, tls->copied);
    }
    return block;
}

static void block_free(void **block)
{
    if (block) {
        mm_heap_free(mm_heap_process(), block[-1]);
    }
}

static void **blocks_of(const struct ldr_thread *thread)
{
    return *thread->tls_field;
}

static void drop_blocks(uint32_t slot)
{
    for (struct ldr_thread *thread = threads; thread; thread = thread->next) {
        block_free(blocks_of(thread)[slot]);
        blocks_of(thread)[slot] = NULL;
    }
}

nt_status ldr_thread_register(struct ldr_thread *thread, void **tls_field, struct pe_error *err)
{
    void **blocks = mm_heap_zalloc(mm_heap_process(), SLOT_COUNT * sizeof *blocks);
    if (!blocks) {
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for a thread's TLS slots");
    }
    nt_status status = STATUS_SUCCESS;
    ldr_lock();
    for (uint32_t slot = 0; slot < SLOT_COUNT && nt_ok(status); slot++) {
        if (owners[slot] && !(blocks[slot] = block_create(&owners[slot]->tls))) {
            status = pe_fail(err, STATUS_NO_MEMORY, "no memory for a thread's TLS of %s",
                             owners[slot]->name);
        }
    }
    if (nt_ok(status)) {
        *tls_field = blocks;
        *thread = (struct ldr_thread){tls_field, threads, NULL, SLOT_COUNT};
        if (threads) {
            threads->prev = thread;
        }
        threads = thread;
    } else {
        for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
            block_free(blocks[slot]);
        }
        mm_heap_free(mm_heap_process(), blocks);
    }
    ldr_unlock();
    return status;
}

void ldr_thread_unregister(struct ldr_thread *thread)
{
    ldr_lock();
    void **blocks = blocks_of(thread);
    *(thread->prev ? &thread->prev->next : &threads) = thread->next;
    if (thread->next) {
        thread->next->prev = thread->prev;
    }
    *thread->tls_field = NULL;
    for (uint32_t slot = 0; slot < thread->slot_count; slot++) {
        block_free(blocks[slot]);
    }
    mm_heap_free(mm_heap_process(), blocks);
    ldr_unlock();
}

/* ---- modules ---- */

/* An address that the (relocated) directory names, as an RVA; false when it is outside. */
static bool inside(const struct ldr_module *module, uint64_t va, uint32_t len, uint32_t *rva)
{
    uint64_t offset = va - mm_view_base(module->view);
    uint32_t size = mm_view_size(module->view);
    *rva = (uint32_t)offset;
    return offset < size && len <= size - offset;
}

static nt_status read_template(struct ldr_module *module, const struct pe_tls *dir,
                               struct pe_error *err)
{
    struct ldr_tls *tls = &module->tls;
    const struct pe_image *image = mm_view_image(module->view);
    uint64_t most = image->file_size > MIN_COPIED ? image->file_size : MIN_COPIED;
    uint64_t size = dir->end_address_of_raw_data - dir->start_address_of_raw_data;
    uint32_t rva;
    bool valid = size <= MAX_PART && size > 0 &&
                 inside(module, dir->start_address_of_raw_data, (uint32_t)size, &rva);
    tls->template_size = valid ? (uint32_t)size : 0;
    tls->zero_fill = dir->size_of_zero_fill <= MAX_PART ? dir->size_of_zero_fill : 0;
    tls->alignment = dir->alignment > MIN_ALIGNMENT ? dir->alignment : MIN_ALIGNMENT;
    if (!valid) {
        return STATUS_SUCCESS;
    }
    tls->copied = (uint32_t)(size < most ? size : most);
    tls->template = malloc(tls->copied);
    if (!tls->template || !pe_rva_copy(image, rva, tls->template, tls->copied)) {
        return pe_fail(err, STATUS_NO_MEMORY, "%s: no memory for its TLS template", module->name);
    }
    return STATUS_SUCCESS;
}

static nt_status write_index(struct ldr_module *module, uint64_t address_of_index,
                             struct pe_error *err)
{
    uint32_t rva;
    if (address_of_index == 0) {
        return STATUS_SUCCESS;
    }
    if (!inside(module, address_of_index, sizeof(uint32_t), &rva)) {
        return pe_fail(err, STATUS_INVALID_IMAGE_FORMAT,
                       "%s: the TLS directory's AddressOfIndex 0x%llx is outside the image",
                       module->name, (unsigned long long)address_of_index);
    }
    nt_status status = STATUS_SUCCESS;
    if (mm_view_is_shared(module->view, rva, sizeof(uint32_t))) {
        status = mm_view_privatize(module->view, rva, sizeof(uint32_t), err);
    }
    if (nt_ok(status)) {
        pe_put_u32(mm_view_image(module->view)->bytes, rva, module->tls.slot);
    }
    return status;
}

static nt_status make_blocks(struct ldr_module *module, struct pe_error *err)
{
    for (struct ldr_thread *thread = threads; thread; thread = thread->next) {
        void *block = block_create(&module->tls);
        if (!block) {
            return pe_fail(err, STATUS_NO_MEMORY, "%s: no memory for its TLS blocks", module->name);
        }
        /* The thread may be running; it looks at this slot only when it runs this module's code. */
        __atomic_store_n(&blocks_of(thread)[module->tls.slot], block, __ATOMIC_RELEASE);
    }
    return STATUS_SUCCESS;
}

nt_status ldr_tls_attach(struct ldr_module *module, struct pe_error *err)
{
    struct pe_tls dir;
    if (!pe_tls_get(mm_view_image(module->view), &dir)) {
        return STATUS_SUCCESS;
    }
    uint32_t slot = 0;
    while (slot < SLOT_COUNT && owners[slot]) {
        slot++;
    }
    if (slot == SLOT_COUNT) {
        return pe_fail(err, STATUS_INSUFFICIENT_RESOURCES, "%s: all %u TLS slots are taken",
                       module->name, SLOT_COUNT);
    }
    module->tls.slot = slot;
    owners[slot] = module;
    module->tls.callbacks = dir.address_of_callbacks;
    nt_status status = read_template(module, &dir, err);
    if (nt_ok(status)) {
        status = write_index(module, dir.address_of_index, err);
    }
    return nt_ok(status) ? make_blocks(module, err) : status;
}

void ldr_tls_detach(struct ldr_module *module)
{
    struct ldr_tls *tls = &module->tls;
    if (tls->slot != LDR_NO_TLS_SLOT) {
        drop_blocks(tls->slot);
        owners[tls->slot] = NULL;
        tls->slot = LDR_NO_TLS_SLOT;
    }
    free(tls->template);
    tls->template = NULL;
}

void ldr_tls_call(const struct ldr_module *module, uint32_t reason)
{
    if (!module->tls.callbacks) {
        return;
    }
    const struct pe_image *image = mm_view_image(module->view);
    uint32_t width = pe_pointer_size(image);
    uint64_t base = mm_view_base(module->view);
    for (uint32_t i = 0; i < MAX_CALLBACKS; i++) {
        uint32_t rva;
        uint64_t callback;
        if (!inside(module, module->tls.callbacks + (uint64_t)i * width, width, &rva) ||
            !pe_rva_ptr(image, rva, &callback) || callback == 0) {
            return;
        }
        /* One handler around the walk swallows an exception and ends it (behaviours, TLS). */
        uintptr_t unused;
        uint32_t exception;
        if (!ldr_gate_try((uintptr_t)callback, (uintptr_t)base, reason, 0, &unused, &exception)) {
            return;
        }
    }
}
