/*
 * TLS and FLS slots (TlsAlloc and FlsAlloc families as Microsoft documents them).
 *
 * One lock guards both allocation maps; a thread's values are its own, except that freeing a slot
 * reaches into every thread. Index 0 is never handed out, as on Windows, where ntdll keeps it.
 */
#include "loader/ke/slots.h"

#include <stdlib.h>

#include "loader/ke/thread.h"
#include "loader/mm/heap.h"
#include "loader/state.h"

struct fls_values {
    uint32_t count;
    void *value[];
};

static pthread_mutex_t slot_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct ke_bitmap tls_bitmap, tls_expansion_bitmap;
static uint32_t fls_map[(KE_FLS_MAX + 31) / 32] IMAGE_STATE = {1};
static ke_fls_callback *fls_callbacks IMAGE_STATE; /* KE_FLS_MAX of them, once there is one */

void ke_slots_init(struct ke_peb *peb)
{
    tls_bitmap = (struct ke_bitmap){KE_TLS_SLOTS, peb->TlsBitmapBits};
    tls_expansion_bitmap = (struct ke_bitmap){KE_TLS_EXPANSION_SLOTS, peb->TlsExpansionBitmapBits};
    peb->TlsBitmapBits[0] = 1;
    peb->TlsBitmap = &tls_bitmap;
    peb->TlsExpansionBitmap = &tls_expansion_bitmap;
}

static uint32_t take_clear_bit(uint32_t *map, uint32_t bits)
{
    for (uint32_t i = 0; i < bits; i++) {
        uint32_t mask = 1u << (i % 32);
        if (map[i / 32] == UINT32_MAX) {
            i |= 31;
        } else if (!(map[i / 32] & mask)) {
            map[i / 32] |= mask;
            return i;
        }
    }
    return KE_NO_SLOT;
}

static bool drop_bit(uint32_t *map, uint32_t index)
{
    uint32_t mask = 1u << (index % 32);
    bool was_set = (map[index / 32] & mask) != 0;
    map[index / 32] &= ~mask;
    return was_set;
}

uint32_t ke_tls_alloc(void)
{
    struct ke_teb *teb = ke_teb();
    pthread_mutex_lock(&slot_mutex);
    uint32_t index = take_clear_bit(tls_bitmap.Buffer, KE_TLS_SLOTS);
    if (index == KE_NO_SLOT) {
        index = take_clear_bit(tls_expansion_bitmap.Buffer, KE_TLS_EXPANSION_SLOTS);
        if (index != KE_NO_SLOT)
            index += KE_TLS_SLOTS;
    }
    pthread_mutex_unlock(&slot_mutex);
    if (index != KE_NO_SLOT)
        ke_tls_set(teb, index, NULL);
    return index;
}

static void clear_everywhere(uint32_t index)
{
    ke_threads_lock();
    for (struct ke_thread *t = ke_threads_next(NULL); t; t = ke_threads_next(t)) {
        if (index < KE_TLS_SLOTS)
            t->teb->TlsSlots[index] = NULL;
        else if (t->teb->TlsExpansionSlots)
            t->teb->TlsExpansionSlots[index - KE_TLS_SLOTS] = NULL;
    }
    ke_threads_unlock();
}

bool ke_tls_free(uint32_t index)
{
    if (index >= KE_TLS_MAX)
        return false;
    ke_teb();
    pthread_mutex_lock(&slot_mutex);
    bool was_set = index < KE_TLS_SLOTS
                       ? drop_bit(tls_bitmap.Buffer, index)
                       : drop_bit(tls_expansion_bitmap.Buffer, index - KE_TLS_SLOTS);
    if (was_set)
        clear_everywhere(index); /* before anyone else is given the slot */
    pthread_mutex_unlock(&slot_mutex);
    return was_set;
}

void *ke_tls_get(const struct ke_teb *teb, uint32_t index)
{
    if (index < KE_TLS_SLOTS)
        return teb->TlsSlots[index];
    return teb->TlsExpansionSlots ? teb->TlsExpansionSlots[index - KE_TLS_SLOTS] : NULL;
}

bool ke_tls_set(struct ke_teb *teb, uint32_t index, void *value)
{
    if (index < KE_TLS_SLOTS) {
        teb->TlsSlots[index] = value;
        return true;
    }
    if (!teb->TlsExpansionSlots) {
        if (!value)
            return true;
        void **slots = mm_heap_zalloc(mm_heap_process(), KE_TLS_EXPANSION_SLOTS * sizeof(*slots));
        if (!slots)
            return false;
        ke_threads_lock();
        teb->TlsExpansionSlots = slots;
        ke_threads_unlock();
    }
    teb->TlsExpansionSlots[index - KE_TLS_SLOTS] = value;
    return true;
}

uint32_t ke_fls_alloc(ke_fls_callback callback)
{
    uint32_t index = KE_NO_SLOT;
    pthread_mutex_lock(&slot_mutex);
    if (!fls_callbacks)
        fls_callbacks = mm_heap_zalloc(mm_heap_process(), KE_FLS_MAX * sizeof(*fls_callbacks));
    if (fls_callbacks)
        index = take_clear_bit(fls_map, KE_FLS_MAX);
    if (index != KE_NO_SLOT)
        fls_callbacks[index] = callback;
    pthread_mutex_unlock(&slot_mutex);
    return index;
}

bool ke_fls_valid(uint32_t index)
{
    if (index == 0 || index >= KE_FLS_MAX)
        return false;
    return (__atomic_load_n(&fls_map[index / 32], __ATOMIC_RELAXED) >> (index % 32) & 1) != 0;
}

void *ke_fls_get(const struct ke_teb *teb, uint32_t index)
{
    const struct fls_values *values = teb->FlsData;
    return values && index < values->count ? values->value[index] : NULL;
}

/* The lock of the thread list keeps ke_fls_free() away while the values move. */
static bool grow(struct ke_teb *teb, uint32_t index)
{
    struct fls_values *old = teb->FlsData;
    uint32_t before = old ? old->count : 0, count = (index | 31) + 1;
    if (index < before)
        return true;
    ke_threads_lock();
    size_t size = sizeof(*old) + count * sizeof(old->value[0]);
    struct mm_heap *heap = mm_heap_process();
    struct fls_values *values = old ? mm_heap_resize(heap, old, size) : mm_heap_alloc(heap, size);
    if (values) {
        for (uint32_t i = before; i < count; i++)
            values->value[i] = NULL;
        values->count = count;
        teb->FlsData = values;
    }
    ke_threads_unlock();
    return values != NULL;
}

bool ke_fls_set(struct ke_teb *teb, uint32_t index, void *value)
{
    if (!value && !ke_fls_get(teb, index))
        return true;
    if (!grow(teb, index))
        return false;
    ((struct fls_values *)teb->FlsData)->value[index] = value;
    return true;
}

/* Takes one value of the slot out of some thread; NULL when none is left. */
static void *take_value(uint32_t index)
{
    void *value = NULL;
    ke_threads_lock();
    for (struct ke_thread *t = ke_threads_next(NULL); t && !value; t = ke_threads_next(t)) {
        struct fls_values *values = t->teb->FlsData;
        if (values && index < values->count)
            value = __atomic_exchange_n(&values->value[index], NULL, __ATOMIC_ACQ_REL);
    }
    ke_threads_unlock();
    return value;
}

bool ke_fls_free(uint32_t index)
{
    if (!ke_fls_valid(index))
        return false;
    ke_fls_callback callback = fls_callbacks[index];
    for (void *value = take_value(index); value; value = take_value(index))
        if (callback)
            callback(value);
    pthread_mutex_lock(&slot_mutex);
    bool was_set = drop_bit(fls_map, index);
    fls_callbacks[index] = NULL;
    pthread_mutex_unlock(&slot_mutex);
    return was_set;
}

void ke_fls_run_callbacks(struct ke_teb *teb)
{
    for (uint32_t i = 1; teb->FlsData && i < ((struct fls_values *)teb->FlsData)->count; i++) {
        void *value = __atomic_exchange_n(&((struct fls_values *)teb->FlsData)->value[i], NULL,
                                          __ATOMIC_ACQ_REL);
        if (value && fls_callbacks[i])
            fls_callbacks[i](value);
    }
}

void ke_slots_release(struct ke_teb *teb)
{
    if (teb->FlsData)
        mm_heap_free(mm_heap_process(), teb->FlsData);
    teb->FlsData = NULL;
    if (teb->TlsExpansionSlots)
        mm_heap_free(mm_heap_process(), teb->TlsExpansionSlots);
    teb->TlsExpansionSlots = NULL;
}
