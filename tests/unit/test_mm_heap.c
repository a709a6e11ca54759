/*
 * Heaps for images: blocks keep what is written to them, whatever happens to their neighbours and
 * on whichever thread, and memory that is freed is used again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/mm/heap.h"
#include "loader/mm/view.h"
#include "tests/samples.h"

enum { BLOCKS = 512 };

struct held_block {
    unsigned char *at;
    size_t size;
    unsigned char mark;
};

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Mostly small, some of whole pages, a few very large. */
static size_t random_size(uint32_t *seed)
{
    static const size_t most[] = {16, 64, 300, 1024, 9000, 70000, 300000};
    uint32_t kind = next(seed) % 64;
    if (kind == 0)
        return 3000000 + next(seed) % 2000000;
    return next(seed) % most[kind % 7];
}

static void check(const struct held_block *block)
{
    size_t step = block->size / 64 + 1;
    for (size_t i = 0; i < block->size; i += step)
        if (block->at[i] != block->mark)
            fail_msg("byte %zu of %zu is 0x%x, not 0x%x", i, block->size, block->at[i],
                     block->mark);
}

static void fill(struct held_block *block, unsigned char mark)
{
    block->mark = mark;
    memset(block->at, mark, block->size);
}

static void obtain(struct mm_heap *heap, struct held_block *block, uint32_t *seed)
{
    bool zero = next(seed) % 2;
    block->size = random_size(seed);
    block->at = zero ? mm_heap_zalloc(heap, block->size) : mm_heap_alloc(heap, block->size);
    assert_non_null(block->at);
    assert_int_equal((uintptr_t)block->at % 16, 0);
    assert_true(mm_heap_owns(heap, block->at));
    assert_int_equal(mm_heap_size(heap, block->at), block->size);
    block->mark = 0;
    if (zero)
        check(block);
    fill(block, (unsigned char)(1 + next(seed) % 255));
}

static void change(struct mm_heap *heap, struct held_block *block, uint32_t *seed)
{
    size_t size = random_size(seed), before = block->size;
    unsigned char *moved = mm_heap_resize(heap, block->at, size);
    assert_non_null(moved);
    assert_int_equal(mm_heap_size(heap, moved), size);
    block->at = moved;
    block->size = size < before ? size : before;
    check(block);
    block->size = size;
    fill(block, block->mark);
}

static void churn(struct mm_heap *heap, uint32_t seed, int rounds)
{
    static __thread struct held_block blocks[BLOCKS];
    memset(blocks, 0, sizeof(blocks));
    for (int i = 0; i < rounds; i++) {
        struct held_block *block = &blocks[next(&seed) % BLOCKS];
        if (!block->at) {
            obtain(heap, block, &seed);
            continue;
        }
        check(block);
        if (next(&seed) % 3 == 0) {
            change(heap, block, &seed);
            continue;
        }
        mm_heap_free(heap, block->at);
        block->at = NULL;
    }
    for (int i = 0; i < BLOCKS; i++) {
        if (blocks[i].at) {
            check(&blocks[i]);
            mm_heap_free(heap, blocks[i].at);
        }
    }
}

static void test_blocks_keep_their_content(void **state)
{
    struct mm_heap *heap = mm_heap_create(PAGE_READWRITE);
    assert_non_null(heap);
    churn(heap, 1, 20000);
    mm_heap_destroy(heap);
    churn(mm_heap_process(), 2, 20000);
}

static void *churn_process(void *seed)
{
    churn(mm_heap_process(), (uint32_t)(uintptr_t)seed, 8000);
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[4];
    unsigned before;
    mm_heap_enter();
    before = mm_heap_caches();
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn_process, (void *)(i + 10)), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(mm_heap_caches(), before);
}

struct passed {
    void *blocks[2000];
};

static void *free_all(void *user)
{
    struct passed *passed = user;
    for (int i = 0; i < 2000; i++)
        mm_heap_free(mm_heap_process(), passed->blocks[i]);
    return NULL;
}

/* What one thread frees another one can have. */
static void test_blocks_freed_elsewhere_are_used_again(void **state)
{
    static struct passed passed;
    void *lowest = NULL, *highest = NULL;
    pthread_t thread;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 2000; i++) {
            passed.blocks[i] = mm_heap_alloc(mm_heap_process(), 200);
            assert_non_null(passed.blocks[i]);
            if (round == 3 && (!lowest || passed.blocks[i] < lowest))
                lowest = passed.blocks[i];
            if (round == 3 && passed.blocks[i] > highest)
                highest = passed.blocks[i];
            if (round > 10)
                assert_in_range((uintptr_t)passed.blocks[i], (uintptr_t)lowest - 0x80000,
                                (uintptr_t)highest + 0x80000);
        }
        pthread_create(&thread, NULL, free_all, &passed);
        pthread_join(thread, NULL);
    }
}

/* Regions of the address space that heaps have taken. */
static bool count_region(void *user, const struct mm_region *region, const char *name)
{
    *(uint64_t *)user += region->state == MEM_FREE ? 0 : region->size;
    return true;
}

static uint64_t taken(void)
{
    uint64_t size = 0;
    mm_query_each(count_region, &size);
    return size;
}

static void test_freed_memory_is_used_again(void **state)
{
    struct mm_heap *heap = mm_heap_create(PAGE_READWRITE);
    uint64_t before = 0;
    for (int i = 0; i < 400; i++) {
        void *small = mm_heap_alloc(heap, 5000),
             *pages = mm_heap_alloc(heap, 100000 + 4096 * (i % 7));
        void *huge = mm_heap_alloc(heap, 40000000);
        assert_non_null(huge);
        mm_heap_free(heap, pages);
        mm_heap_free(heap, huge);
        mm_heap_free(heap, small);
        if (i == 10)
            before = taken();
    }
    if (HELD_IS_EXACT)
        assert_true(taken() <= before + 0x100000);
    mm_heap_destroy(heap);
    if (HELD_IS_EXACT)
        assert_true(taken() < before);
}

static void test_what_is_no_block(void **state)
{
    struct mm_heap *heap = mm_heap_create(PAGE_READWRITE);
    char *block = mm_heap_alloc(heap, 100), *other = mm_heap_alloc(mm_heap_process(), 100);
    assert_false(mm_heap_owns(heap, NULL));
    assert_false(mm_heap_owns(heap, block + 16));
    assert_false(mm_heap_owns(heap, block + 1));
    assert_false(mm_heap_owns(heap, other));
    assert_false(mm_heap_owns(NULL, block));
    assert_true(mm_heap_owns(heap, block));
    mm_heap_free(heap, block);
    assert_false(mm_heap_owns(heap, block)); /* twice */
    assert_null(mm_heap_alloc(heap, SIZE_MAX));
    assert_null(mm_heap_alloc(heap, SIZE_MAX / 2));
    assert_null(mm_heap_alloc(NULL, 1));
    block = mm_heap_alloc(heap, 100);
    memset(block, 7, 100);
    assert_null(mm_heap_resize(heap, block, SIZE_MAX - 100));
    assert_int_equal(mm_heap_size(heap, block), 100);
    assert_int_equal(block[99], 7);
    mm_heap_free(mm_heap_process(), other);
    mm_heap_destroy(heap);
}

static void test_in_place(void **state)
{
    struct mm_heap *heap = mm_heap_create(PAGE_EXECUTE_READWRITE);
    struct mm_region region;
    char *block = mm_heap_alloc(heap, 20000), *wall;
    assert_int_equal(mm_query((uintptr_t)block, &region), STATUS_SUCCESS);
    assert_int_equal(region.protect, PAGE_EXECUTE_READWRITE);
    assert_true(mm_heap_resize_in_place(heap, block, 10));
    assert_int_equal(mm_heap_size(heap, block), 10);
    assert_true(mm_heap_resize_in_place(heap, block, 20000));
    assert_false(mm_heap_resize_in_place(heap, block, 200000));
    /* The last run of pages grows where it is, one with a neighbour behind it moves. */
    assert_ptr_equal(mm_heap_resize(heap, block, 60000), block);
    wall = mm_heap_alloc(heap, 20000);
    assert_ptr_not_equal(mm_heap_resize(heap, block, 200000), block);
    mm_heap_free(heap, wall);
    mm_heap_destroy(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_keep_their_content),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_blocks_freed_elsewhere_are_used_again),
        cmocka_unit_test(test_freed_memory_is_used_again),
        cmocka_unit_test(test_what_is_no_block),
        cmocka_unit_test(test_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
