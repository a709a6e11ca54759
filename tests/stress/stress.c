/*
 * Threads x loads x calls x exceptions x unloads at once, every result checked.
 *
 *   stress SAMPLES_DIRECTORY [--seconds N] [--threads N] [--only FUNCTION]
 *
 * Each thread takes an image of the stress sets (memory images under names of their own, so that
 * loads are real; now and then the shared file, so that references count), calls functions that
 * fault, throw, jump and start threads, and unloads it. Half of the host's threads live as long as
 * the phase, the others come and go. At the end, what the process holds must be what it held after
 * a warm-up by the same threads. A watchdog aborts with a report when nothing moves for a minute.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loader/peldr.h"
#include "tests/samples.h"

enum { IMAGES_MAX = 4, THREADS_MAX = 256, STUCK_SECONDS = 60, STAY = 50 };

typedef int(PELDR_CDECL *int_fn)(int);
typedef int(PELDR_CDECL *two_fn)(int, int);
typedef int(PELDR_CDECL *address_fn)(uintptr_t);

static struct image {
    char path[SAMPLE_PATH_MAX], label[64];
    void *bytes;
    size_t size;
} images[IMAGES_MAX];
static size_t image_count;
static const char *only; /* the one function that is called, to find who is to blame */

static struct worker {
    pthread_t thread;
    uint64_t random;
    unsigned index;
    _Atomic(const char *) doing;
    atomic_ulong rounds;
} workers[THREADS_MAX];
static unsigned worker_count = 32;
static atomic_bool stop, failed;

static void fail(struct worker *worker, const char *what, const char *image, long value)
{
    const char *error = peldr_error();
    fprintf(stderr, "stress: thread %u, %s of %s: %ld %s\n", worker->index, what, image, value,
            error ? error : "");
    atomic_store(&failed, true);
    atomic_store(&stop, true);
}

static unsigned pick(struct worker *worker, unsigned below)
{
    worker->random = worker->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(worker->random >> 33) % below;
}

/* ---- calls: each is skipped where the image has no such function -------------------------------
 */

struct call {
    struct worker *worker;
    const struct image *image;
    void *function;
    uint32_t argument;
};

static long call_one(struct call *call)
{
    return ((int_fn)call->function)((int)(1 + pick(call->worker, 6)));
}

static long call_deep(struct call *call)
{
    return ((two_fn)call->function)((int)(1 + pick(call->worker, 6)), (int)pick(call->worker, 12));
}

static void raise_it(void *user)
{
    struct call *call = user;
    ((address_fn)call->function)(call->argument);
}

/* An exception that the image does not handle comes back as a value. */
static long call_raising(struct call *call)
{
    struct peldr_exception exception;
    call->argument = 0xE0000000u + pick(call->worker, 1000);
    if (peldr_call_guarded(raise_it, call, &exception) != 1)
        return -1;
    return exception.code != call->argument || exception.parameter_count != 1 ||
           exception.parameters[0] != (call->argument ^ 0x5555u);
}

static long call_faulting(struct call *call)
{
    struct peldr_exception exception;
    call->argument = 0x200 + 4 * pick(call->worker, 100);
    if (peldr_call_guarded(raise_it, call, &exception) != 1)
        return -1;
    return exception.code != 0xC0000005u || exception.parameters[0] != 1 ||
           exception.parameters[1] != call->argument;
}

static const struct {
    const char *name;
    long (*run)(struct call *call);
} calls[] = {
    {"throw_many", call_deep},   {"seh_many", call_deep},   {"jump_many", call_one},
    {"commit_many", call_one},   {"thread_many", call_one}, {"raise_code", call_raising},
    {"write_to", call_faulting},
};
enum { CALLS = sizeof calls / sizeof *calls };

static void call_some(struct worker *worker, peldr_module *module, const struct image *image)
{
    for (unsigned i = 0; i < 4 && !atomic_load(&stop); i++) {
        unsigned which = pick(worker, CALLS);
        struct call call = {worker, image, peldr_sym(module, calls[which].name), 0};
        long wrong;
        if (!call.function || (only && strcmp(only, calls[which].name) != 0))
            continue;
        atomic_store(&worker->doing, calls[which].name);
        wrong = calls[which].run(&call);
        if (wrong)
            fail(worker, calls[which].name, image->label, wrong);
    }
}

/* ---- threads ----------------------------------------------------------------------------------
 */

static void one_round(struct worker *worker)
{
    const struct image *image = &images[pick(worker, (unsigned)image_count)];
    char name[64];
    peldr_module *module;
    atomic_store(&worker->doing, "load");
    snprintf(name, sizeof name, "stress_%u.dll", worker->index);
    module = pick(worker, 3) == 0 ? peldr_open(image->path, 0)
                                  : peldr_open_memory(image->bytes, image->size, name, 0);
    if (!module) {
        fail(worker, "load", image->label, 0);
        return;
    }
    call_some(worker, module, image);
    atomic_store(&worker->doing, "unload");
    if (peldr_close(module) != 0)
        fail(worker, "unload", image->label, 0);
    atomic_store(&worker->doing, "between rounds");
    atomic_fetch_add(&worker->rounds, 1);
}

static void *short_life(void *user)
{
    struct worker *worker = user;
    peldr_attach_thread();
    for (unsigned i = 1 + pick(worker, STAY); i > 0 && !atomic_load(&stop); i--)
        one_round(worker);
    return NULL;
}

static void *work(void *user)
{
    struct worker *worker = user;
    while (!atomic_load(&stop)) {
        pthread_t thread;
        if (worker->index % 2 == 0)
            one_round(worker);
        else if (pthread_create(&thread, NULL, short_life, worker) != 0)
            fail(worker, "pthread_create", "the host", 0);
        else
            pthread_join(thread, NULL);
    }
    return NULL;
}

static unsigned long rounds_of_all(void)
{
    unsigned long sum = 0;
    for (unsigned i = 0; i < worker_count; i++)
        sum += atomic_load(&workers[i].rounds);
    return sum;
}

static void report_stuck(void)
{
    fprintf(stderr, "stress: nothing has moved for %d s\n", STUCK_SECONDS);
    for (unsigned i = 0; i < worker_count; i++)
        fprintf(stderr, "  thread %u: %s, %lu rounds\n", i, atomic_load(&workers[i].doing),
                atomic_load(&workers[i].rounds));
    abort();
}

static void run_phase(unsigned seconds)
{
    unsigned long last = rounds_of_all();
    time_t moved = time(NULL), end = moved + seconds;
    atomic_store(&stop, false);
    for (unsigned i = 0; i < worker_count; i++) {
        atomic_store(&workers[i].doing, "start");
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            abort();
    }
    while (!atomic_load(&stop) && time(NULL) < end) {
        usleep(100000);
        if (rounds_of_all() != last) {
            last = rounds_of_all();
            moved = time(NULL);
        } else if (time(NULL) - moved > STUCK_SECONDS) {
            report_stuck();
        }
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < worker_count; i++) {
        struct timespec limit;
        clock_gettime(CLOCK_REALTIME, &limit);
        limit.tv_sec += STUCK_SECONDS;
        if (pthread_timedjoin_np(workers[i].thread, NULL, &limit) != 0)
            report_stuck();
    }
}

/* ---- the whole --------------------------------------------------------------------------------
 */

static void add_image(const char *set, const char *name)
{
    struct image *image = &images[image_count];
    if (!sample_path(set, name, image->path))
        return;
    snprintf(image->label, sizeof image->label, "%s/%s", set, name);
    image->bytes = sample_read(image->path, &image->size);
    image_count++;
}

/* The C++ runtime's DLL keeps memory of its own that an unload does not give back (a pool for
 * exceptions when there is none left), so it stays loaded. */
static void keep_runtime(const char *set)
{
    char path[SAMPLE_PATH_MAX];
    if (!sample_path(set, "libstdc++-6.dll", path))
        return;
    if (!peldr_open(path, 0))
        fprintf(stderr, "stress: %s\n", peldr_error());
    *strrchr(path, '/') = '\0';
    peldr_add_directory(path);
}

/* Caches of the C library (arenas, stacks) may differ a little from one moment to the next. */
/* Which sections stay open for the next load, and which relocated forms, is chance. */
static struct held held_without_cache(void)
{
    struct held held;
    peldr_set_cache("off", 0);
    held = held_now();
    peldr_set_cache(NULL, 0);
    return held;
}

static int check_held(const struct held *warm, const struct held *now)
{
    printf("stress: warm %zu mappings, %zu descriptors, %zu bytes of heap\n", warm->maps, warm->fds,
           warm->heap);
    printf("stress: now  %zu mappings, %zu descriptors, %zu bytes of heap\n", now->maps, now->fds,
           now->heap);
    if (now->fds > warm->fds || (HELD_IS_EXACT && (now->maps > warm->maps + 2 * worker_count ||
                                                   now->heap > warm->heap + (1 << 18)))) {
        fprintf(stderr, "stress: the process holds more than after the warm-up\n");
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    unsigned seconds = 10;
    struct held warm, now;
    unsigned long warm_rounds;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            seconds = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            worker_count = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            only = argv[++i];
        else
            setenv("PELDR_TEST_SAMPLES", argv[i], 1);
    for (const char *const *set = sample_sets; *set; set++) {
        add_image(*set, "stress_image.dll");
        add_image(*set, "throw_many.dll");
        keep_runtime(*set);
    }
    if (image_count == 0 || worker_count == 0 || worker_count > THREADS_MAX)
        return 77; /* skipped */
    for (unsigned i = 0; i < worker_count; i++)
        workers[i].index = i, workers[i].random = 88172645463325252u + i;
    run_phase(1 + seconds / 10);
    warm = held_without_cache();
    warm_rounds = rounds_of_all();
    if (!atomic_load(&failed))
        run_phase(seconds);
    now = held_without_cache();
    printf("stress: %u threads, %zu images, %lu rounds in %u s\n", worker_count, image_count,
           rounds_of_all() - warm_rounds, seconds);
    return atomic_load(&failed) || check_held(&warm, &now);
}
