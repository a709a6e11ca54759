/*
 * All exports in ordinal order, each name once.
 *
 * The name table is sorted by name, so the names of an entry lie anywhere in it, and without a heap
 * there is no index. The iterator keeps a window instead: the smallest (entry, name index) pairs
 * after the last one given out, gathered in one pass over the name table with a bounded max-heap.
 * N names cost N / PE_EXPORT_WINDOW passes, however they are arranged.
 */
#include "pe/exports.h"
#include "pe/internal.h"

static void swap(uint64_t *a, uint64_t *b)
{
    uint64_t t = *a;
    *a = *b;
    *b = t;
}

static void sift_down(uint64_t *heap, uint32_t count, uint32_t at)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < count && heap[child + 1] > heap[child])
            child++;
        if (child >= count || heap[at] >= heap[child])
            return;
        swap(&heap[at], &heap[child]);
        at = child;
    }
}

static void sift_up(uint64_t *heap, uint32_t at)
{
    for (; at && heap[(at - 1) / 2] < heap[at]; at = (at - 1) / 2)
        swap(&heap[at], &heap[(at - 1) / 2]);
}

static void keep_smallest(struct pe_export_iter *it, uint64_t key)
{
    if (it->count < PE_EXPORT_WINDOW) {
        it->window[it->count] = key;
        sift_up(it->window, it->count++);
    } else if (key < it->window[0]) {
        it->window[0] = key;
        sift_down(it->window, it->count, 0);
    }
}

#define CHUNK 512u /* name-table entries that are read at once */

/* The entries [i, i + count) of the table, as far as they can be read. */
static void gather(struct pe_export_iter *it, uint32_t i, uint32_t count)
{
    const struct pe_exports *e = it->exports;
    uint8_t buffer[CHUNK * 2];
    struct pe_span entries = {buffer, sizeof(buffer)};
    bool whole = pe_rva_copy(e->image, e->name_ordinals_rva + i * 2, buffer, count * 2);
    for (uint32_t n = 0; n < count; n++) {
        uint16_t index;
        if (whole ? !pe_u16(entries, n * 2, &index)
                  : !pe_rva_u16(e->image, e->name_ordinals_rva + (i + n) * 2, &index))
            continue;
        uint64_t key = (uint64_t)index << 32 | (i + n);
        if (key >= it->from)
            keep_smallest(it, key);
    }
}

/* Fills the window with the smallest keys not below it->from, in ascending order. */
static void fill(struct pe_export_iter *it)
{
    uint32_t names = it->exports->name_count;
    it->count = it->next = 0;
    for (uint32_t i = 0; i < names; i += CHUNK)
        gather(it, i, names - i < CHUNK ? names - i : CHUNK);
    for (uint32_t left = it->count; left > 1; left--) {
        swap(&it->window[0], &it->window[left - 1]);
        sift_down(it->window, left - 1, 0);
    }
    it->last_window = it->count < PE_EXPORT_WINDOW;
}

static bool peek(struct pe_export_iter *it, uint64_t *key)
{
    if (it->next == it->count && !it->last_window)
        fill(it);
    if (it->next == it->count)
        return false;
    *key = it->window[it->next];
    return true;
}

bool pe_export_next(struct pe_export_iter *it, struct pe_export *out)
{
    uint64_t key;
    while (it->index < it->exports->function_count) {
        if (peek(it, &key) && key >> 32 <= it->index) {
            it->next++;
            it->from = key + 1;
            if (key >> 32 == it->index &&
                pe_export_by_name_index(it->exports, (uint32_t)key, out)) {
                it->named = true;
                return true;
            }
            continue; /* an unreadable name or a hole */
        }
        bool unnamed = !it->named && pe_export_unnamed(it->exports, it->index, out);
        it->index++;
        it->named = false;
        if (unnamed)
            return true;
    }
    return false;
}
