/*
 * The registry of image section objects: a table in a backing, one slot an object and holder.
 *
 * A slot says "process P holds an object for key K as descriptor D". Who wants it opens
 * /proc/P/fd/D: that is a memfd which is immutable and says itself what it is, so a slot is a hint
 * that may be stale, torn by a kill, or overwritten; nobody waits for anybody. Every holder has a
 * slot of its own, so the object is found as long as one of them lives, and its memory goes with
 * the last.
 *
 * A memfd rather than a file of the runtime directory: it can be sealed, which a file cannot, it
 * takes no room on a disk, and a directory that is mounted noexec does no harm.
 */
#include "loader/ob/image_registry.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "loader/mm/data.h"
#include "loader/ob/backing.h"

#define SLOT_COUNT 4096u
/* A key's slots lie side by side; its holders beyond that many stay unknown. */
#define WINDOW 64u
/* The byte of the backing that is locked; the first ones are the backing's own. */
#define TABLE_LOCK 64

struct slot {
    uint64_t holder; /* process id and descriptor + 1; 0 = free */
    uint64_t key;
};

/* Both stay until the process ends: other threads may still be loading when it exits. */
static struct slot *table;
static struct ob_backing *backing;

/* Nothing is opened before somebody asks: images whose objects are in the cache are found there. */
static void open_table(void)
{
    const uint64_t size = SLOT_COUNT * sizeof(struct slot);
    void *memory;
    if (!nt_ok(ob_backing_open("images", size, NULL, NULL, &backing, NULL, NULL)))
        return;
    if (!nt_ok(mm_host_map(ob_backing_fd(backing), 0, size, &memory, NULL))) {
        ob_backing_close(backing);
        return;
    }
    table = memory;
}

static bool has_table(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_table);
    return table != NULL;
}

static struct slot *slot_at(uint64_t key, uint32_t index)
{
    return &table[((uint32_t)(key >> 32) + index) % SLOT_COUNT];
}

static uint64_t holder_of(pid_t pid, int fd)
{
    return (uint64_t)(uint32_t)pid << 32 | ((uint32_t)fd + 1);
}

static bool replace(struct slot *slot, uint64_t seen, uint64_t holder)
{
    return __atomic_compare_exchange_n(&slot->holder, &seen, holder, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

static bool is_dead(uint64_t holder)
{
    pid_t pid = (pid_t)(holder >> 32);
    return pid <= 0 || (kill(pid, 0) != 0 && errno == ESRCH);
}

/* The descriptor of another process (or of this one), for reading; only if it is a plain file. */
static int open_of_holder(uint64_t holder)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%u/fd/%u", (unsigned)(holder >> 32),
             (unsigned)(uint32_t)holder - 1);
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return -1;
    return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static int find(uint64_t key, uint32_t *cursor)
{
    while (has_table() && *cursor < WINDOW) {
        struct slot *slot = slot_at(key, (*cursor)++);
        uint64_t holder = __atomic_load_n(&slot->holder, __ATOMIC_ACQUIRE);
        if (holder == 0 || __atomic_load_n(&slot->key, __ATOMIC_RELAXED) != key)
            continue;
        int fd = open_of_holder(holder);
        if (fd >= 0)
            return fd;
        replace(slot, holder, 0);
    }
    return -1;
}

/* A free slot, or one of a process that is no more; taken, but not filled in yet. */
static struct slot *take_slot(uint64_t key, uint64_t mark, uint32_t *index)
{
    for (int dead = 0; dead < 2; dead++)
        for (*index = 0; *index < WINDOW; (*index)++) {
            struct slot *slot = slot_at(key, *index);
            uint64_t holder = __atomic_load_n(&slot->holder, __ATOMIC_ACQUIRE);
            if ((holder == 0 || (dead && is_dead(holder))) && replace(slot, holder, mark))
                return slot;
        }
    return NULL;
}

/* A slot of a live process with this key. */
static bool is_held(uint64_t key)
{
    for (uint32_t i = 0; i < WINDOW; i++) {
        const struct slot *slot = slot_at(key, i);
        uint64_t holder = __atomic_load_n(&slot->holder, __ATOMIC_ACQUIRE);
        if (holder != 0 && __atomic_load_n(&slot->key, __ATOMIC_RELAXED) == key && !is_dead(holder))
            return true;
    }
    return false;
}

/*
 * Who looks and takes a slot does it under a lock of the backing, so that one of two is first. It
 * is never held for longer than that, except by a process that was stopped in between; the others
 * do without it then.
 */
static bool set_lock(short type)
{
    const struct timespec pause = {.tv_nsec = 100000};
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = TABLE_LOCK, .l_len = 1};
    for (int i = 0; i < 100; i++) {
        if (fcntl(ob_backing_fd(backing), F_OFD_SETLK, &lock) == 0)
            return true;
        if (errno != EAGAIN && errno != EACCES)
            return false;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* The ticket: the slot's number + 1. */
static uint32_t take(uint64_t key, int fd)
{
    uint32_t index;
    pid_t self = getpid();
    struct slot *slot = take_slot(key, holder_of(self, -1), &index);
    if (!slot)
        return 0;
    __atomic_store_n(&slot->key, key, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->holder, holder_of(self, fd), __ATOMIC_RELEASE);
    return (uint32_t)(slot - table) + 1;
}

static uint32_t publish(uint64_t key, int fd, bool first, bool *other)
{
    static pthread_mutex_t threads = PTHREAD_MUTEX_INITIALIZER;
    uint32_t ticket = 0;
    if (!has_table())
        return 0;
    if (!first)
        return take(key, fd);
    pthread_mutex_lock(&threads);
    bool locked = set_lock(F_WRLCK);
    *other = is_held(key);
    if (!*other)
        ticket = take(key, fd);
    if (locked)
        set_lock(F_UNLCK);
    pthread_mutex_unlock(&threads);
    return ticket;
}

/* In a forked child the slot is its parent's, and stays. */
static void withdraw(uint32_t ticket, int fd)
{
    replace(&table[ticket - 1], holder_of(getpid(), fd), 0);
}

void ob_image_registry_start(void)
{
    static const struct mm_image_registry registry = {find, publish, withdraw};
    mm_section_set_registry(&registry);
}

nt_status ob_image_create(int fd, const char *name, struct mm_section **out, struct pe_error *err)
{
    struct mm_section *section;
    ob_image_registry_start();
    nt_status status = mm_section_create_image(fd, name, mm_windows(), &section, err);
    if (!nt_ok(status))
        return status;
    status = mm_section_finish(section, err);
    if (nt_ok(status))
        *out = section;
    else
        mm_section_unref(section);
    return status;
}
