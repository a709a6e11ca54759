/*
 * What named objects and SHARED PE sections are worth when a process that uses them is killed at
 * any moment (design, decision 8).
 *
 * 200 rounds. In each, four processes, of both word sizes where both are built, create, open, write
 * and close the same 20 named objects and one image's SHARED PE section; one of them, at random, is
 * ended by kill -9 in the middle. The others check all the time that
 *  - a section that is reported as new is empty, and what is in an old one is from this round;
 *  - a name that they hold themselves leads to the object that they hold;
 *  - what they wrote is there as long as they hold it;
 *  - a mutex has one owner, and is abandoned by the killed process only;
 * and at the end of a round the runtime directory must be empty.
 *
 * The program is its own worker: "test_killed_holders worker INDEX ROUND SEED DLL BOARD".
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/peldr.h"
#include "tests/samples.h"
#include "tests/unit/tempdir.h"

#define WORKERS 4
/* Who dies at which step is chance; sanitizers, which make a round long, need fewer. */
#define ROUNDS   (HELD_IS_EXACT ? 200u : 40u)
#define SECTIONS 10
#define EVENTS   4
#define MUTEXES  3
#define OBJECTS  20 /* the rest are semaphores */
#define STEPS    120
#define SIZE     0x10000u

extern char **environ;

/* Shared by the test and its workers, outside of everything that is tested. */
struct board {
    uint32_t ready;
    uint32_t go;
    uint32_t victim;         /* index + 1 once it has been chosen */
    uint32_t over;           /* the victim is dead */
    uint32_t owner[MUTEXES]; /* index + 1 of who believes to own it */
    uint32_t steps[WORKERS];
};

/* A worker's part of a section. Written by that worker only. */
struct slot {
    uint32_t round, value;
    uint32_t pad[14];
};

/* ---- the worker: KERNEL32
 * ------------------------------------------------------------------------
 */

typedef void *HANDLE;
#define INVALID_HANDLE ((HANDLE)(intptr_t)-1)
enum { PAGE_READWRITE = 4, FILE_MAP_WRITE = 2, FILE_MAP_READ = 4, FILE_MAP_ALL_ACCESS = 0xF001F };
enum { EXISTS = 183, NOT_FOUND = 2, ABANDONED = 0x80, TIMED_OUT = 258 };

#define FUNCTIONS(X)                                                                          \
    X(HANDLE, CreateFileMappingA, HANDLE, void *, uint32_t, uint32_t, uint32_t, const char *) \
    X(HANDLE, OpenFileMappingA, uint32_t, int, const char *)                                  \
    X(void *, MapViewOfFile, HANDLE, uint32_t, uint32_t, uint32_t, size_t)                    \
    X(int, UnmapViewOfFile, void *)                                                           \
    X(int, FlushViewOfFile, void *, size_t)                                                   \
    X(int, CloseHandle, HANDLE)                                                               \
    X(HANDLE, CreateEventA, void *, int, int, const char *)                                   \
    X(HANDLE, CreateMutexA, void *, int, const char *)                                        \
    X(HANDLE, CreateSemaphoreA, void *, int32_t, int32_t, const char *)                       \
    X(int, SetEvent, HANDLE)                                                                  \
    X(int, ReleaseMutex, HANDLE)                                                              \
    X(int, ReleaseSemaphore, HANDLE, int32_t, int32_t *)                                      \
    X(uint32_t, WaitForSingleObject, HANDLE, uint32_t)                                        \
    X(uint32_t, GetLastError, void)

#define POINTER(result, name, ...) static result(PELDR_WINAPI *name)(__VA_ARGS__);
FUNCTIONS(POINTER)

static struct worker {
    uint32_t index, round, seed;
    struct board *board;
    const char *dll;
    struct held_object {
        HANDLE handle;
        struct slot *view;
        uint32_t last; /* what this worker wrote last; 0 = nothing yet */
    } held[OBJECTS];
    peldr_module *module;
    struct slot *shared; /* in the image's SHARED PE section */
    uint32_t shared_last;
} worker;

static void complain(const char *what, uint32_t object, uint32_t a, uint32_t b)
{
    fprintf(stderr, "round %u, worker %u, step %u: %s (object %u: 0x%x, 0x%x)\n", worker.round,
            worker.index, worker.board->steps[worker.index], what, object, a, b);
    exit(3);
}

static uint32_t random_below(uint32_t limit)
{
    worker.seed = worker.seed * 1664525u + 1013904223u;
    return (worker.seed >> 8) % limit;
}

static const char *name_of(uint32_t object)
{
    static char name[64];
    snprintf(name, sizeof name, "%skilled holders %u", object % 2 ? "Global\\" : "", object);
    return name;
}

/* All slots are of this round, or untouched. */
static void check_slots(const volatile struct slot *slots, uint32_t object)
{
    for (uint32_t i = 0; i < WORKERS; i++) {
        uint32_t round = slots[i].round;
        if (round != 0 && round != worker.round)
            complain("content of another round", object, round, slots[i].value);
    }
}

static void write_slot(volatile struct slot *slots, uint32_t *last, uint32_t object)
{
    volatile struct slot *mine = &slots[worker.index];
    if (*last && (mine->value != *last || mine->round != worker.round))
        complain("a write was lost", object, mine->value, *last);
    *last = random_below(0x7FFFFFFF) + 1;
    mine->round = worker.round;
    mine->value = *last;
    check_slots(slots, object);
}

/* ---- sections
 * ------------------------------------------------------------------------------------
 */

static void drop_view(struct held_object *held)
{
    if (held->view && !UnmapViewOfFile(held->view))
        complain("UnmapViewOfFile failed", 0, GetLastError(), 0);
    held->view = NULL;
    held->last = 0;
}

static void drop_handle(struct held_object *held)
{
    if (held->handle && !CloseHandle(held->handle))
        complain("CloseHandle failed", 0, GetLastError(), 0);
    held->handle = NULL;
}

static void take_section(struct held_object *held, uint32_t object)
{
    bool opens = random_below(4) == 0;
    held->handle =
        opens ? OpenFileMappingA(FILE_MAP_ALL_ACCESS, 0, name_of(object))
              : CreateFileMappingA(INVALID_HANDLE, NULL, PAGE_READWRITE, 0, SIZE, name_of(object));
    uint32_t error = GetLastError();
    if (!held->handle && opens && error == NOT_FOUND)
        return;
    if (!held->handle)
        complain("no section", object, error, opens);
    drop_view(held); /* of an object that may have been another one */
    held->view = MapViewOfFile(held->handle, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, 0);
    if (!held->view)
        complain("MapViewOfFile failed", object, GetLastError(), 0);
    if (!opens && error == 0)
        for (uint32_t i = 0; i < SIZE / sizeof(struct slot); i++)
            if (i >= WORKERS && (held->view[i].round || held->view[i].value))
                complain("a new section is not empty", object, i, held->view[i].value);
    check_slots(held->view, object);
}

/* A second handle while the first is open: the same object. */
static void reopen_section(struct held_object *held, uint32_t object)
{
    HANDLE again =
        CreateFileMappingA(INVALID_HANDLE, NULL, PAGE_READWRITE, 0, SIZE, name_of(object));
    uint32_t error = GetLastError();
    if (!again || error != EXISTS)
        complain("a name that is held is not there", object, error, 0);
    struct slot *view = MapViewOfFile(again, FILE_MAP_READ, 0, 0, 0);
    if (!view)
        complain("MapViewOfFile failed", object, GetLastError(), 1);
    if (held->last && view[worker.index].value != held->last)
        complain("a name that is held leads elsewhere", object, view[worker.index].value,
                 held->last);
    if (!UnmapViewOfFile(view) || !CloseHandle(again))
        complain("cannot let go", object, GetLastError(), 0);
}

static void use_section(struct held_object *held, uint32_t object)
{
    uint32_t what = random_below(8);
    if (!held->handle)
        take_section(held, object);
    else if (what == 0)
        drop_handle(held);
    else if (what == 1)
        drop_handle(held), drop_view(held);
    else if (what == 2)
        reopen_section(held, object);
    else if (what == 3 && held->view && !FlushViewOfFile(held->view, 0))
        complain("FlushViewOfFile failed", object, GetLastError(), 0);
    if (held->view)
        write_slot(held->view, &held->last, object);
}

/* ---- what can be waited for
 * ----------------------------------------------------------------------
 */

static void use_event(struct held_object *held, uint32_t object)
{
    if (!held->handle)
        held->handle = CreateEventA(NULL, 0, 0, name_of(object));
    if (!held->handle)
        complain("no event", object, GetLastError(), 0);
    uint32_t what = random_below(3), result;
    if (what == 0 && !SetEvent(held->handle))
        complain("SetEvent failed", object, GetLastError(), 0);
    if (what == 1 && (result = WaitForSingleObject(held->handle, random_below(2))) != 0 &&
        result != TIMED_OUT)
        complain("a wait for an event failed", object, result, GetLastError());
    if (what == 2)
        drop_handle(held);
}

static bool is_victim(uint32_t owner)
{
    return owner == __atomic_load_n(&worker.board->victim, __ATOMIC_ACQUIRE);
}

static void own_mutex(struct held_object *held, uint32_t object, uint32_t result)
{
    uint32_t *owner = &worker.board->owner[object - SECTIONS - EVENTS], me = worker.index + 1;
    uint32_t before = __atomic_exchange_n(owner, me, __ATOMIC_ACQ_REL);
    if (before != 0 && !is_victim(before))
        complain("a mutex has two owners", object, before, result);
    if (result == ABANDONED && !worker.board->victim)
        complain("a mutex was abandoned by nobody", object, before, result);
    for (uint32_t i = random_below(200); i > 0; i--)
        __asm__ volatile("pause");
    if (__atomic_load_n(owner, __ATOMIC_ACQUIRE) != me)
        complain("a mutex got a second owner", object, *owner, me);
    __atomic_store_n(owner, 0, __ATOMIC_RELEASE);
    if (!ReleaseMutex(held->handle))
        complain("ReleaseMutex failed", object, GetLastError(), result);
}

static void use_mutex(struct held_object *held, uint32_t object)
{
    if (!held->handle)
        held->handle = CreateMutexA(NULL, 0, name_of(object));
    if (!held->handle)
        complain("no mutex", object, GetLastError(), 0);
    uint32_t result = WaitForSingleObject(held->handle, 20);
    if (result == 0 || result == ABANDONED)
        own_mutex(held, object, result);
    else if (result != TIMED_OUT)
        complain("a wait for a mutex failed", object, result, GetLastError());
    if (random_below(3) == 0)
        drop_handle(held);
}

static void use_semaphore(struct held_object *held, uint32_t object)
{
    int32_t previous = -1;
    if (!held->handle)
        held->handle = CreateSemaphoreA(NULL, 2, 2, name_of(object));
    if (!held->handle)
        complain("no semaphore", object, GetLastError(), 0);
    uint32_t result = WaitForSingleObject(held->handle, 1);
    if (result != 0 && result != TIMED_OUT)
        complain("a wait for a semaphore failed", object, result, GetLastError());
    if (result == 0 && (!ReleaseSemaphore(held->handle, 1, &previous) || previous > 1))
        complain("ReleaseSemaphore failed", object, GetLastError(), (uint32_t)previous);
    if (random_below(3) == 0)
        drop_handle(held);
}

/* ---- the SHARED PE section
 * ------------------------------------------------------------------------
 */

static struct slot *shared_slots(peldr_module *module)
{
    struct peldr_region region;
    for (uint32_t cursor = 0; peldr_next_region(module, &cursor, &region) == 1;)
        if (strcmp(region.backing, "shared_section") == 0)
            return (struct slot *)(uintptr_t)(region.address + region.size) - WORKERS;
    complain("the image has no shared section", 99, 0, 0);
    return NULL;
}

static void use_image(void)
{
    if (!worker.module) {
        worker.module = peldr_open(worker.dll, 0);
        if (!worker.module) {
            fprintf(stderr, "%s\n", peldr_error());
            complain("the image was not loaded", 99, 0, 0);
        }
        worker.shared = shared_slots(worker.module);
        worker.shared_last = 0;
    }
    write_slot(worker.shared, &worker.shared_last, 99);
    if (random_below(4) == 0) {
        if (peldr_close(worker.module) != 0)
            complain("the image was not unloaded", 99, 0, 0);
        worker.module = NULL;
    }
}

/* ---- the worker's life
 * ---------------------------------------------------------------------------
 */

static void step(void)
{
    uint32_t object = random_below(OBJECTS + 1);
    struct held_object *held = &worker.held[object % OBJECTS];
    if (object == OBJECTS)
        use_image();
    else if (object < SECTIONS)
        use_section(held, object);
    else if (object < SECTIONS + EVENTS)
        use_event(held, object);
    else if (object < SECTIONS + EVENTS + MUTEXES)
        use_mutex(held, object);
    else
        use_semaphore(held, object);
    __atomic_add_fetch(&worker.board->steps[worker.index], 1, __ATOMIC_RELAXED);
}

static bool is_victim_dead(void)
{
    return __atomic_load_n(&worker.board->over, __ATOMIC_ACQUIRE) != 0;
}

static struct board *map_board(int fd)
{
    void *board = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return board == MAP_FAILED ? NULL : board;
}

static int find_functions(void)
{
    peldr_module *kernel32 = peldr_open("kernel32.dll", 0);
    bool all = kernel32 != NULL;
#define FIND(result, name, ...) all = all && (*(void **)&name = peldr_sym(kernel32, #name)) != NULL;
    FUNCTIONS(FIND)
    if (!all)
        fprintf(stderr, "%s\n", peldr_error());
    return all ? 0 : -1;
}

static int worker_main(char **argv)
{
    worker.index = (uint32_t)atoi(argv[2]);
    worker.round = (uint32_t)atoi(argv[3]);
    worker.seed = (uint32_t)strtoul(argv[4], NULL, 10);
    worker.dll = argv[5];
    worker.board = map_board(atoi(argv[6]));
    if (!worker.board || find_functions() != 0)
        return 2;
    __atomic_add_fetch(&worker.board->ready, 1, __ATOMIC_ACQ_REL);
    while (!__atomic_load_n(&worker.board->go, __ATOMIC_ACQUIRE))
        usleep(100);
    for (int i = 0; i < STEPS || !is_victim_dead(); i++)
        step();
    for (uint32_t i = 0; i < OBJECTS; i++) {
        if (worker.held[i].view)
            write_slot(worker.held[i].view, &worker.held[i].last, i);
        drop_handle(&worker.held[i]);
        drop_view(&worker.held[i]);
    }
    if (worker.module)
        peldr_close(worker.module);
    return 0;
}

/* ---- the test
 * ------------------------------------------------------------------------------------
 */

static char programs[2][PATH_MAX]; /* this one, and the one of the other word size if it is there */

static void find_programs(void)
{
    ssize_t length = readlink("/proc/self/exe", programs[0], sizeof programs[0] - 3);
    assert_true(length > 2);
    programs[0][length] = 0;
    strcpy(programs[1], programs[0]);
    if (strcmp(programs[1] + length - 2, "32") == 0)
        programs[1][length - 2] = 0;
    else
        strcat(programs[1], "32");
    if (access(programs[1], X_OK) != 0)
        strcpy(programs[1], programs[0]);
}

/* An image can only be loaded by a process of its word size: each size has a copy of its own. */
static char dlls[2][SAMPLE_PATH_MAX];

static bool find_dlls(void)
{
    char original[SAMPLE_PATH_MAX];
    static const char *const sets[2] = {"mingw64", "mingw32"};
    bool wide = sizeof(void *) == 8;
    for (int i = 0; i < 2; i++) {
        if (!sample_path(sets[wide ? i : 1 - i], "shared.dll", original))
            return false;
        snprintf(dlls[i], sizeof dlls[i], "%s", tempdir_path(i ? "other.dll" : "own.dll"));
        sample_copy(original, dlls[i]);
    }
    return true;
}

static pid_t start_worker(uint32_t index, uint32_t round, uint32_t seed, int board)
{
    char numbers[4][16];
    int other = index % 2;
    pid_t pid = -1;
    snprintf(numbers[0], 16, "%u", index);
    snprintf(numbers[1], 16, "%u", round);
    snprintf(numbers[2], 16, "%u", seed);
    snprintf(numbers[3], 16, "%d", board);
    char *argv[] = {programs[other], "worker",    numbers[0], numbers[1],
                    numbers[2],      dlls[other], numbers[3], NULL};
    if (strcmp(programs[0], programs[1]) == 0)
        argv[5] = dlls[0];
    assert_int_equal(posix_spawn(&pid, argv[0], NULL, NULL, argv, environ), 0);
    return pid;
}

static void sleep_us(long us)
{
    struct timespec time = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&time, NULL);
}

static void wait_ready(const struct board *board)
{
    for (int i = 0; i < 60000 && __atomic_load_n(&board->ready, __ATOMIC_ACQUIRE) < WORKERS; i++)
        sleep_us(1000);
    assert_int_equal(board->ready, WORKERS);
}

static void assert_empty(const char *directory)
{
    DIR *dir = opendir(directory);
    if (!dir && errno == ENOENT)
        return;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            fail_msg("%s is left in the runtime directory", entry->d_name);
    closedir(dir);
}

static void round_of(uint32_t round, int fd, struct board *board)
{
    pid_t pids[WORKERS];
    uint32_t victim = (uint32_t)rand() % WORKERS;
    int status;
    memset(board, 0, sizeof *board);
    for (uint32_t i = 0; i < WORKERS; i++)
        pids[i] = start_worker(i, round, (uint32_t)rand(), fd);
    wait_ready(board);
    __atomic_store_n(&board->go, 1, __ATOMIC_RELEASE);
    sleep_us(rand() % 4000);
    __atomic_store_n(&board->victim, victim + 1, __ATOMIC_RELEASE);
    kill(pids[victim], SIGKILL);
    assert_int_equal(waitpid(pids[victim], &status, 0), pids[victim]);
    assert_true(WIFSIGNALED(status));
    __atomic_store_n(&board->over, 1, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < WORKERS; i++) {
        if (i == victim)
            continue;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        if (status != 0)
            fail_msg("round %u: worker %u ended with status 0x%x", round, i, (unsigned)status);
    }
    assert_empty(tempdir_path("run/peldr"));
}

static void test_killed_holders(void **state)
{
    int fd = memfd_create("board", 0);
    assert_int_equal(ftruncate(fd, sizeof(struct board)), 0);
    struct board *board = map_board(fd);
    assert_non_null(board);
    find_programs();
    if (!find_dlls())
        skip();
    for (uint32_t round = 1; round <= ROUNDS; round++)
        round_of(round, fd, board);
    munmap(board, sizeof *board);
    close(fd);
}

static int setup(void **state)
{
    srand((unsigned)time(NULL));
    if (tempdir_create() != 0)
        return -1;
    tempdir_mkdir("run");
    return chmod(tempdir_path("run"), 0700) != 0 ||
           setenv("XDG_RUNTIME_DIR", tempdir_path("run"), 1) != 0;
}

static int teardown(void **state)
{
    return tempdir_remove();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed_holders)};
    if (argc == 7 && strcmp(argv[1], "worker") == 0)
        return worker_main(argv);
    return cmocka_run_group_tests(tests, setup, teardown);
}
