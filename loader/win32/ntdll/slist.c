/*
 * Interlocked singly linked lists (SLIST_HEADER).
 *
 * The header is opaque but has Windows's size, and starts as zero. A sequence number changes with
 * every operation, so that a pop does not mistake a list that changed and changed back. Entries
 * must stay readable as long as others may pop, which Microsoft's documentation asks for too.
 */
#include "loader/win32/ntdll/families.h"

typedef struct slist_entry {
    struct slist_entry *next;
} SLIST_ENTRY;

#ifdef __x86_64__

typedef struct {
    uint64_t depth_sequence; /* Depth in the low 16 bits, Sequence above */
    uint64_t next;           /* the entry's address, 16-byte aligned */
} __attribute__((aligned(16))) SLIST_HEADER;

static bool exchange(SLIST_HEADER *header, SLIST_HEADER *seen, SLIST_HEADER wanted)
{
    bool done;
    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(done), "+m"(*header), "+a"(seen->depth_sequence), "+d"(seen->next)
                     : "b"(wanted.depth_sequence), "c"(wanted.next)
                     : "memory");
    return done;
}

static SLIST_HEADER make(SLIST_ENTRY *first, uint16_t depth, SLIST_HEADER before)
{
    uint64_t sequence = (before.depth_sequence >> 16) + 1;
    return (SLIST_HEADER){sequence << 16 | depth, (uintptr_t)first};
}

static SLIST_ENTRY *first_of(SLIST_HEADER header)
{
    return (SLIST_ENTRY *)header.next;
}

static uint16_t depth_of(SLIST_HEADER header)
{
    return (uint16_t)header.depth_sequence;
}

static SLIST_HEADER load(SLIST_HEADER *header)
{
    SLIST_HEADER seen = *(volatile SLIST_HEADER *)header; /* torn perhaps: the exchange tells */
    return seen;
}

#else

typedef struct {
    uint64_t value; /* Next, Depth and Sequence: 32, 16 and 16 bits */
} __attribute__((aligned(8))) SLIST_HEADER;

static bool exchange(SLIST_HEADER *header, SLIST_HEADER *seen, SLIST_HEADER wanted)
{
    return __atomic_compare_exchange_n(&header->value, &seen->value, wanted.value, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static SLIST_HEADER make(SLIST_ENTRY *first, uint16_t depth, SLIST_HEADER before)
{
    uint64_t sequence = (before.value >> 48) + 1;
    return (SLIST_HEADER){sequence << 48 | (uint64_t)depth << 32 | (uintptr_t)first};
}

static SLIST_ENTRY *first_of(SLIST_HEADER header)
{
    return (SLIST_ENTRY *)(uintptr_t)(uint32_t)header.value;
}

static uint16_t depth_of(SLIST_HEADER header)
{
    return (uint16_t)(header.value >> 32);
}

static SLIST_HEADER load(SLIST_HEADER *header)
{
    return (SLIST_HEADER){__atomic_load_n(&header->value, __ATOMIC_ACQUIRE)};
}

#endif

static void WINAPI_DEF nt_RtlInitializeSListHead(SLIST_HEADER *header)
{
    *header = (SLIST_HEADER){0};
}

static SLIST_ENTRY *WINAPI_DEF nt_RtlFirstEntrySList(SLIST_HEADER *header)
{
    return first_of(load(header));
}

static USHORT WINAPI_DEF nt_RtlQueryDepthSList(SLIST_HEADER *header)
{
    return depth_of(load(header));
}

/* Pushes a chain of `count` entries; returns the entry that was first before. */
static SLIST_ENTRY *push(SLIST_HEADER *header, SLIST_ENTRY *first, SLIST_ENTRY *last, ULONG count)
{
    SLIST_HEADER seen = load(header), wanted;
    do {
        last->next = first_of(seen);
        wanted = make(first, (uint16_t)(depth_of(seen) + count), seen);
    } while (!exchange(header, &seen, wanted));
    return first_of(seen);
}

static SLIST_ENTRY *WINAPI_DEF nt_RtlInterlockedPushEntrySList(SLIST_HEADER *header,
                                                               SLIST_ENTRY *entry)
{
    return push(header, entry, entry, 1);
}

static SLIST_ENTRY *WINAPI_DEF nt_RtlInterlockedPushListSListEx(SLIST_HEADER *header,
                                                                SLIST_ENTRY *first,
                                                                SLIST_ENTRY *last, ULONG count)
{
    return push(header, first, last, count);
}

static SLIST_ENTRY *WINAPI_DEF nt_RtlInterlockedPopEntrySList(SLIST_HEADER *header)
{
    SLIST_HEADER seen = load(header), wanted;
    do {
        if (!first_of(seen))
            return NULL;
        SLIST_ENTRY *next = ((volatile SLIST_ENTRY *)first_of(seen))->next;
        wanted = make(next, (uint16_t)(depth_of(seen) - 1), seen);
    } while (!exchange(header, &seen, wanted));
    return first_of(seen);
}

static SLIST_ENTRY *WINAPI_DEF nt_RtlInterlockedFlushSList(SLIST_HEADER *header)
{
    SLIST_HEADER seen = load(header);
    while (first_of(seen) && !exchange(header, &seen, make(NULL, 0, seen)))
        ;
    return first_of(seen);
}

const struct ldr_builtin_export ntdll_slist_exports[] = {
    LDR_FN(nt_, RtlInitializeSListHead),
    LDR_FN(nt_, RtlFirstEntrySList),
    LDR_FN(nt_, RtlQueryDepthSList),
    LDR_FN(nt_, RtlInterlockedPushEntrySList),
    LDR_FN(nt_, RtlInterlockedPushListSListEx),
    LDR_FN(nt_, RtlInterlockedPopEntrySList),
    LDR_FN(nt_, RtlInterlockedFlushSList),
};
const size_t ntdll_slist_count = sizeof(ntdll_slist_exports) / sizeof(*ntdll_slist_exports);
