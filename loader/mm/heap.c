/*
 * Blocks of a heap (heap.h): size classes and their free lists. For the process's heap each thread
 * has lists of its own, filled from the heap's and emptied into them in batches, so that most calls
 * take no lock.
 */
#include "loader/mm/heap_object.h"

#include <string.h>

#include "loader/mm/poison.h"
#include "loader/mm/view.h"

#define UNIT 16u
/* With a sanitizer no block reaches up to the next one's header. */
#define SLACK (MM_HAS_POISON ? UNIT : 0u)
/* What a thread keeps of one class at most, and takes at once. */
#define CACHED_BYTES 32768u
#define BATCH_BYTES  4096u

/* In memory of the heap. */
struct cache {
    struct mm_block *blocks[MM_CLASS_COUNT];
    uint32_t count[MM_CLASS_COUNT];
    char *fresh[MM_CLASS_COUNT], *fresh_end[MM_CLASS_COUNT]; /* memory that has been no block yet */
};

static struct mm_heap *process_heap;
static pthread_key_t leave_key;
static __thread struct cache *own_cache __attribute__((tls_model("initial-exec")));
static __thread bool has_left; /* from now on it takes and gives single blocks */

/* ---- classes -----------------------------------------------------------------------------------
 */

/* 32, 48 ... 512, then four for each power of two. */
static unsigned class_of(size_t total)
{
    unsigned shift;

    if (total <= 512)
        return total <= 32 ? 0 : (unsigned)((total + UNIT - 1) / UNIT) - 2;
    shift = (unsigned)(sizeof(long) * 8) - 1 - (unsigned)__builtin_clzl((unsigned long)(total - 1));
    return 31 + (shift - 9) * 4 + (unsigned)((total - 1) >> (shift - 2) & 3);
}

static size_t class_size(unsigned class)
{
    unsigned step = class - 31;

    if (class < 31)
        return (class + 2) * UNIT;
    return (size_t)(5 + step % 4) << (7 + step / 4);
}

static unsigned class_of_block(const struct mm_block *block)
{
    return (unsigned)(block->tag & 0xFFFF);
}

static bool is_live(const struct mm_heap *heap, const struct mm_block *block)
{
    return (block->tag & ~(uintptr_t)0xFFFF) == (uintptr_t)heap;
}

static struct mm_block *block_of(const void *memory)
{
    return (struct mm_block *)memory - 1;
}

/* A block goes to its owner. */
static void *hand_out(struct mm_heap *heap, struct mm_block *block, unsigned class, size_t size)
{
    block->tag = (uintptr_t)heap | class;
    block->size = size;
    mm_unpoison(block + 1, size);
    return block + 1;
}

/* ---- small blocks ------------------------------------------------------------------------------
 */

static bool add_memory(struct mm_heap *heap, unsigned class)
{
    size_t size = class_size(class);
    uint32_t pages = size <= 1024 ? 4 : 16;
    bool zero;
    char *memory = mm_heap_pages(heap, pages, &zero);

    if (memory == NULL)
        return false;
    mm_poison(memory, (size_t)(pages * MM_PAGE));
    heap->fresh[class] = memory;
    heap->fresh_end[class] = memory + pages * MM_PAGE;
    return true;
}

/* The next block of memory that has been none yet; NULL when it is used up. */
static struct mm_block *carve(char **fresh, const char *end, size_t size)
{
    struct mm_block *block = (struct mm_block *)(void *)*fresh;

    if ((size_t)(end - *fresh) < size)
        return NULL;
    *fresh += size;
    mm_unpoison(block, sizeof(*block));
    return block;
}

/* Lock held. */
static struct mm_block *take_block(struct mm_heap *heap, unsigned class)
{
    struct mm_block *block = heap->blocks[class];
    size_t size = class_size(class);

    if (block != NULL) {
        heap->blocks[class] = block->next;
        return block;
    }
    block = carve(&heap->fresh[class], heap->fresh_end[class], size);
    if (block != NULL || !add_memory(heap, class))
        return block;
    return carve(&heap->fresh[class], heap->fresh_end[class], size);
}

static uint32_t batch_of(unsigned class)
{
    uint32_t count = (uint32_t)(BATCH_BYTES / class_size(class));

    return count > 1 ? count : 1;
}

static uint32_t most_cached(unsigned class)
{
    return (uint32_t)(CACHED_BYTES / class_size(class)) + 4;
}

/* A batch of free blocks, as they are linked. Lock held. */
static void refill_blocks(struct mm_heap *heap, struct cache *cache, unsigned class)
{
    struct mm_block *last = heap->blocks[class];
    uint32_t count = 1;

    cache->blocks[class] = last;
    for (; count < batch_of(class) && last->next != NULL; count++)
        last = last->next;
    heap->blocks[class] = last->next;
    last->next = NULL;
    cache->count[class] = count;
}

/* Memory for a batch of blocks. Lock held. */
static bool refill_fresh(struct mm_heap *heap, struct cache *cache, unsigned class)
{
    size_t most = batch_of(class) * class_size(class), left;

    if ((size_t)(heap->fresh_end[class] - heap->fresh[class]) < class_size(class) &&
        !add_memory(heap, class))
        return false;
    left = (size_t)(heap->fresh_end[class] - heap->fresh[class]);
    cache->fresh[class] = heap->fresh[class];
    heap->fresh[class] += left < most ? left : most;
    cache->fresh_end[class] = heap->fresh[class];
    return true;
}

/* The thread has no block of the class left. */
static struct mm_block *refill(struct mm_heap *heap, struct cache *cache, unsigned class)
{
    struct mm_block *block =
        carve(&cache->fresh[class], cache->fresh_end[class], class_size(class));
    bool fresh = false;

    if (block != NULL)
        return block;
    pthread_mutex_lock(&heap->lock);
    if (heap->blocks[class] != NULL)
        refill_blocks(heap, cache, class);
    else
        fresh = refill_fresh(heap, cache, class);
    pthread_mutex_unlock(&heap->lock);
    if (fresh)
        return carve(&cache->fresh[class], cache->fresh_end[class], class_size(class));
    block = cache->blocks[class];
    if (block != NULL) {
        cache->blocks[class] = block->next;
        cache->count[class]--;
    }
    return block;
}

/* Gives back what the thread has beyond `keep` blocks. */
static void flush(struct mm_heap *heap, struct cache *cache, unsigned class, uint32_t keep)
{
    struct mm_block *first = cache->blocks[class], *last = first;

    if (cache->count[class] <= keep)
        return;
    for (; cache->count[class] > keep + 1; cache->count[class]--)
        last = last->next;
    cache->count[class]--;
    cache->blocks[class] = last->next;
    pthread_mutex_lock(&heap->lock);
    last->next = heap->blocks[class];
    heap->blocks[class] = first;
    pthread_mutex_unlock(&heap->lock);
}

/* The same for all that it has of a class. */
static void flush_all(struct mm_heap *heap, struct cache *cache, unsigned class)
{
    struct mm_block *block;

    while ((block = carve(&cache->fresh[class], cache->fresh_end[class], class_size(class)))) {
        block->tag = 0;
        block->next = cache->blocks[class];
        cache->blocks[class] = block;
        cache->count[class]++;
    }
    flush(heap, cache, class, 0);
}

static struct mm_block *take_locked(struct mm_heap *heap, unsigned class)
{
    struct mm_block *block;

    pthread_mutex_lock(&heap->lock);
    block = take_block(heap, class);
    pthread_mutex_unlock(&heap->lock);
    return block;
}

static void put_locked(struct mm_heap *heap, struct mm_block *block, unsigned class)
{
    pthread_mutex_lock(&heap->lock);
    block->next = heap->blocks[class];
    heap->blocks[class] = block;
    pthread_mutex_unlock(&heap->lock);
}

/* ---- a thread's own blocks ---------------------------------------------------------------------
 */

/* The end of the thread. It may need blocks again, in a later destructor, and comes back then. */
static void leave(void *memory)
{
    struct cache *cache = memory;
    struct mm_heap *heap = process_heap;

    own_cache = NULL;
    for (unsigned class = 0; class < MM_CLASS_COUNT; class ++)
        flush_all(heap, cache, class);
    block_of(cache)->tag = 0;
    mm_poison(cache, sizeof(*cache));
    put_locked(heap, block_of(cache), class_of(sizeof(*cache) + sizeof(struct mm_block) + SLACK));
    pthread_mutex_lock(&heap->lock);
    heap->caches--;
    pthread_mutex_unlock(&heap->lock);
}

static struct cache *enter(struct mm_heap *heap)
{
    size_t total = sizeof(struct cache) + sizeof(struct mm_block) + SLACK;
    struct mm_block *block = take_locked(heap, class_of(total));
    struct cache *cache;

    if (block == NULL)
        return NULL;
    cache = hand_out(heap, block, class_of(total), sizeof(*cache));
    memset(cache, 0, sizeof(*cache));
    if (pthread_setspecific(leave_key, cache) != 0) {
        block->tag = 0;
        put_locked(heap, block, class_of(total));
        return NULL;
    }
    pthread_mutex_lock(&heap->lock);
    heap->caches++;
    pthread_mutex_unlock(&heap->lock);
    own_cache = cache;
    return cache;
}

/* NULL: this heap has none, or there is no memory for one. */
static struct cache *cache_of(struct mm_heap *heap)
{
    if (heap != process_heap || has_left)
        return NULL;
    return own_cache != NULL ? own_cache : enter(heap);
}

void mm_heap_enter(void)
{
    struct mm_heap *heap = mm_heap_process();

    if (heap != NULL)
        cache_of(heap);
}

void mm_heap_leave(void)
{
    struct cache *cache = own_cache;

    has_left = true;
    if (cache == NULL)
        return;
    pthread_setspecific(leave_key, NULL);
    leave(cache);
}

unsigned mm_heap_caches(void)
{
    struct mm_heap *heap = process_heap;
    unsigned count = 0;

    if (heap != NULL) {
        pthread_mutex_lock(&heap->lock);
        count = heap->caches;
        pthread_mutex_unlock(&heap->lock);
    }
    return count;
}

/* ---- large blocks ------------------------------------------------------------------------------
 */

static uint64_t pages_for(size_t size)
{
    return mm_round_up((uint64_t)size + sizeof(struct mm_block) + SLACK, MM_PAGE) / MM_PAGE;
}

static void *alloc_huge(struct mm_heap *heap, size_t size)
{
    uint64_t base = 0;
    uint64_t bytes = (uint64_t)size + sizeof(struct mm_huge) + sizeof(struct mm_block) + SLACK;
    struct mm_huge *huge;
    struct mm_block *block;

    if (!nt_ok(mm_alloc(&base, &bytes, MEM_RESERVE | MEM_COMMIT, heap->protect, NULL)))
        return NULL;
    huge = mm_ptr(base);
    huge->size = bytes;
    pthread_mutex_lock(&heap->lock);
    huge->next = heap->huge.next;
    huge->prev = &heap->huge;
    huge->next->prev = heap->huge.next = huge;
    pthread_mutex_unlock(&heap->lock);
    block = (struct mm_block *)(huge + 1);
    return hand_out(heap, block, MM_CLASS_HUGE, size);
}

static void free_huge(struct mm_heap *heap, struct mm_block *block)
{
    struct mm_huge *huge = (struct mm_huge *)block - 1;

    pthread_mutex_lock(&heap->lock);
    huge->next->prev = huge->prev;
    huge->prev->next = huge->next;
    pthread_mutex_unlock(&heap->lock);
    mm_unpoison(huge, (size_t)huge->size);
    mm_free(mm_address(huge), 0, MEM_RELEASE, NULL);
}

/* `*zero`: the block is. */
static void *alloc_large(struct mm_heap *heap, size_t size, bool *zero)
{
    uint64_t pages = pages_for(size);
    struct mm_block *block;

    *zero = true;
    if (pages > MM_HEAP_PAGES_MAX)
        return alloc_huge(heap, size);
    pthread_mutex_lock(&heap->lock);
    block = mm_heap_pages(heap, (uint32_t)pages, zero);
    pthread_mutex_unlock(&heap->lock);
    if (block == NULL)
        return NULL;
    mm_poison(block, (size_t)(pages * MM_PAGE));
    mm_unpoison(block, sizeof(*block));
    return hand_out(heap, block, MM_CLASS_LARGE, size);
}

static void free_large(struct mm_heap *heap, struct mm_block *block)
{
    pthread_mutex_lock(&heap->lock);
    mm_unpoison(block, (size_t)(mm_heap_page_count(heap, block) * MM_PAGE));
    mm_heap_free_pages(heap, block);
    pthread_mutex_unlock(&heap->lock);
}

/* ---- blocks ------------------------------------------------------------------------------------
 */

static void *alloc(struct mm_heap *heap, size_t size, bool *zero)
{
    struct mm_block *block = NULL;
    struct cache *cache;
    unsigned class;

    *zero = false;
    if (heap == NULL)
        return NULL;
    if (size > MM_SMALL_MAX - sizeof(*block) - SLACK)
        return size < SIZE_MAX / 2 ? alloc_large(heap, size, zero) : NULL;
    class = class_of(size + sizeof(*block) + SLACK);
    cache = cache_of(heap);
    if (cache == NULL) {
        block = take_locked(heap, class);
    } else if (cache->blocks[class] != NULL) {
        block = cache->blocks[class];
        cache->blocks[class] = block->next;
        cache->count[class]--;
    } else {
        block = refill(heap, cache, class);
    }
    return block != NULL ? hand_out(heap, block, class, size) : NULL;
}

void *mm_heap_alloc(struct mm_heap *heap, size_t size)
{
    bool zero;

    return alloc(heap, size, &zero);
}

void *mm_heap_zalloc(struct mm_heap *heap, size_t size)
{
    bool zero;
    void *memory = alloc(heap, size, &zero);

    if (memory != NULL && !zero)
        memset(memory, 0, size);
    return memory;
}

void mm_heap_free(struct mm_heap *heap, void *memory)
{
    struct mm_block *block = block_of(memory);
    unsigned class = class_of_block(block);
    struct cache *cache;

    block->tag = 0;
    if (class == MM_CLASS_HUGE) {
        free_huge(heap, block);
        return;
    }
    if (class == MM_CLASS_LARGE) {
        free_large(heap, block);
        return;
    }
    mm_poison(memory, class_size(class) - sizeof(*block));
    cache = cache_of(heap);
    if (cache == NULL) {
        put_locked(heap, block, class);
        return;
    }
    block->next = cache->blocks[class];
    cache->blocks[class] = block;
    if (++cache->count[class] > most_cached(class))
        flush(heap, cache, class, most_cached(class) / 2);
}

bool mm_heap_owns(const struct mm_heap *heap, const void *memory)
{
    return heap != NULL && memory != NULL && mm_address(memory) % UNIT == 0 &&
           is_live(heap, block_of(memory));
}

size_t mm_heap_size(const struct mm_heap *heap, const void *memory)
{
    return block_of(memory)->size;
}

/* ---- resizing ----------------------------------------------------------------------------------
 */

/* How many bytes a block can have where it is. */
static size_t room_of(struct mm_heap *heap, const struct mm_block *block)
{
    unsigned class = class_of_block(block);
    uint64_t bytes;

    if (class == MM_CLASS_HUGE) {
        bytes = ((const struct mm_huge *)block - 1)->size - sizeof(struct mm_huge);
    } else if (class == MM_CLASS_LARGE) {
        pthread_mutex_lock(&heap->lock);
        bytes = mm_heap_page_count(heap, block) * MM_PAGE;
        pthread_mutex_unlock(&heap->lock);
    } else {
        bytes = class_size(class);
    }
    return (size_t)(bytes - sizeof(*block) - SLACK);
}

static void set_size(struct mm_block *block, size_t size)
{
    if (size < block->size)
        mm_poison((char *)(block + 1) + size, block->size - size);
    mm_unpoison(block + 1, size);
    block->size = size;
}

bool mm_heap_resize_in_place(struct mm_heap *heap, void *memory, size_t size)
{
    struct mm_block *block = block_of(memory);

    if (size > room_of(heap, block))
        return false;
    set_size(block, size);
    return true;
}

/* Gives a run of pages those behind it. */
static bool lengthen(struct mm_heap *heap, struct mm_block *block, size_t size)
{
    uint64_t pages = pages_for(size);
    bool done;

    if (class_of_block(block) != MM_CLASS_LARGE || pages > MM_HEAP_PAGES_MAX)
        return false;
    pthread_mutex_lock(&heap->lock);
    done = mm_heap_more_pages(heap, block, (uint32_t)pages);
    pthread_mutex_unlock(&heap->lock);
    return done;
}

/* A block that would keep much more than it needs moves, as one that needs more does. */
static bool fits(size_t size, size_t room)
{
    return size <= room && (room <= 256 || size >= room / 4);
}

/* What has been moved once is likely to grow again. */
static size_t with_reserve(size_t size, size_t before)
{
    return size > before && size > MM_SMALL_MAX && size < SIZE_MAX / 4 ? size + size / 8 : size;
}

void *mm_heap_resize(struct mm_heap *heap, void *memory, size_t size)
{
    struct mm_block *block = block_of(memory);
    size_t before = block->size, room = room_of(heap, block);
    void *moved;

    if (fits(size, room) || (size > room && size < SIZE_MAX / 2 && lengthen(heap, block, size))) {
        set_size(block, size);
        return memory;
    }
    moved = mm_heap_alloc(heap, with_reserve(size, before));
    if (moved == NULL && with_reserve(size, before) != size)
        moved = mm_heap_alloc(heap, size);
    if (moved == NULL)
        return NULL;
    memcpy(moved, memory, size < before ? size : before);
    set_size(block_of(moved), size);
    mm_heap_free(heap, memory);
    return moved;
}

/* ---- heaps -------------------------------------------------------------------------------------
 */

/* The child has what is in the heap, too, and must not find it in the middle of a change. */
static void before_fork(void)
{
    pthread_mutex_lock(&process_heap->lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&process_heap->lock);
}

static void make_process_heap(void)
{
    struct mm_heap *heap;

    if (pthread_key_create(&leave_key, leave) != 0)
        return;
    heap = mm_heap_map(PAGE_READWRITE, true);
    __atomic_store_n(&process_heap, heap, __ATOMIC_RELEASE);
    if (heap != NULL)
        pthread_atfork(before_fork, after_fork, after_fork);
}

struct mm_heap *mm_heap_process(void)
{
    static pthread_once_t made = PTHREAD_ONCE_INIT;
    struct mm_heap *heap = __atomic_load_n(&process_heap, __ATOMIC_ACQUIRE);

    if (heap == NULL) {
        pthread_once(&made, make_process_heap);
        heap = __atomic_load_n(&process_heap, __ATOMIC_ACQUIRE);
    }
    return heap;
}

struct mm_heap *mm_heap_create(uint32_t protect)
{
    return mm_heap_map(protect, false);
}

void mm_heap_destroy(struct mm_heap *heap)
{
    mm_heap_unmap(heap);
}
