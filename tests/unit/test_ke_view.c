/*
 * Accesses to mapped views by images, by builtin functions that they call and by the host: a file
 * that was cut off under a view (EXCEPTION_IN_PAGE_ERROR), pages of a SEC_RESERVE section that
 * somebody else has committed, and pages that nobody has.
 */
#include "tests/unit/data_test.h"
#include "tests/unit/graphimage.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "loader/ke/exception.h"
#include "loader/ke/fault.h"
#include "loader/ke/ke.h"
#include "loader/ke/process.h"
#include "loader/ldr/gate.h"

#define CONTINUED        77u
#define ACCESS_VIOLATION 0xC0000005u
#define IN_PAGE_ERROR    0xC0000006u
#define END_OF_FILE      0xC0000011u
#define DISK_FULL        0xC000007Fu
#define PAGES            40u
#define SIZE             (PAGES * TEST_PAGE)

/* ---- the image ----------------------------------------------------------------------------------
 */

/* Slots of 32 bytes. i386 takes the arguments into the registers of x86-64: a in ecx, b in edx. */
enum slot { READ, WRITE, CALL, JUMP, SLOTS };
#define SLOT 32u
static const uint8_t prologue[] = {
#ifdef __i386__
    0x8B, 0x4C, 0x24, 0x04, 0x8B, 0x54, 0x24, 0x08,
#else
    0x90,
#endif
};
static const uint8_t epilogue[] = {KE_BY_WORD(0xC3, 0xC2), 0x0C, 0x00};
static const struct {
    const char *code;
    uint32_t size;
} snippets[SLOTS] = {
    [READ] = {"\x8B\x01", 2},
    [WRITE] = {"\x89\x11", 2},
    [CALL] = {KE_BY_WORD("\x48\x83\xEC\x28\xFF\xD2\x48\x83\xC4\x28", "\x51\xFF\xD2"),
              KE_BY_WORD(10, 3)},
    [JUMP] = {"\xFF\xE1", 2},
};
static uintptr_t code_base;

static uintptr_t slot_at(enum slot slot)
{
    return code_base + slot * SLOT;
}

static void *builtin_handler;
static struct ke_exception_record seen;
static unsigned times;

/* Ends a snippet behind its instruction; notes everything else. */
static int32_t WINAPI_DEF note(struct ke_exception_pointers *pointers)
{
    struct ke_context *context = pointers->ContextRecord;
    uintptr_t at = KE_CONTEXT_PC(context) - code_base;

    seen = *pointers->ExceptionRecord;
    times++;
    if (at >= 2 * SLOT) /* not in READ or WRITE: its caller has a handler */
        return KE_CONTINUE_SEARCH;
    KE_CONTEXT_PC(context) += 2;
    KE_BY_WORD(context->Rax, context->Eax) = CONTINUED;
    return KE_CONTINUE_EXECUTION;
}

static uintptr_t run(enum slot slot, const volatile void *a, uintptr_t b)
{
    struct ldr_gate gate = {.kind = LDR_GATE_CALL};

    ke_fault_install(); /* cmocka puts its own in front of every test */
    times = 0;
    return ldr_gate_run(&gate, slot_at(slot), (uintptr_t)a, b, 0);
}

/* The exception that ends the call, 0 = none. */
static uint32_t exception_of(enum slot slot, const volatile void *a, const void *function)
{
    uintptr_t value;
    uint32_t exception = 0;

    ke_fault_install();
    return ldr_gate_try(slot_at(slot), (uintptr_t)a, (uintptr_t)function, 0, &value, &exception)
               ? 0
               : exception;
}

static void assert_seen(uint32_t code, uint32_t access, const volatile void *address,
                        uint32_t status)
{
    assert_int_equal(times, 1);
    assert_int_equal(seen.ExceptionCode, code);
    assert_int_equal(seen.ExceptionFlags, 0);
    assert_int_equal(seen.NumberParameters, code == IN_PAGE_ERROR ? 3 : 2);
    assert_int_equal(seen.ExceptionInformation[0], access);
    assert_int_equal(seen.ExceptionInformation[1], (uintptr_t)address);
    if (code == IN_PAGE_ERROR)
        assert_int_equal(seen.ExceptionInformation[2], status);
}

/* ---- a file that was cut off --------------------------------------------------------------------
 */

static uint8_t *view_of_cut_file(uint32_t protect)
{
    int fd = data_file("cut", SIZE), again = dup(fd);
    struct mm_data *data = data_of_file(fd, SIZE, protect);
    uint8_t *view = data_view(data, protect, 0x10000, 0);

    mm_data_unref(data);
    assert_int_equal(ftruncate(again, 0x12000), 0);
    close(again);
    return view;
}

static void cut_off(void **state)
{
    uint8_t *view = view_of_cut_file(PAGE_READWRITE);

    assert_int_equal(run(READ, view + 0x1004, 0), 0x12121212); /* what is left */
    assert_int_equal(times, 0);
    assert_int_equal(run(READ, view + 0x2004, 0), CONTINUED);
    assert_seen(IN_PAGE_ERROR, 0, view + 0x2004, END_OF_FILE);
    assert_int_equal(run(WRITE, view + 0x3008, 5), CONTINUED);
    assert_seen(IN_PAGE_ERROR, 1, view + 0x3008, END_OF_FILE);
    data_unmap(view);
    /* A copy of a page that is gone cannot be made. */
    view = view_of_cut_file(PAGE_WRITECOPY);
    assert_int_equal(run(WRITE, view + 0x2000, 5), CONTINUED);
    assert_seen(IN_PAGE_ERROR, 1, view + 0x2000, END_OF_FILE);
    data_unmap(view);
}

static void cut_off_code(void **state)
{
    uint8_t *view = view_of_cut_file(PAGE_EXECUTE_READ);

    assert_int_equal(exception_of(JUMP, view + 0x2010, NULL), IN_PAGE_ERROR);
    assert_int_equal(seen.ExceptionInformation[0], 8);
    assert_int_equal(seen.ExceptionInformation[1], (uintptr_t)view + 0x2010);
    assert_int_equal(seen.ExceptionInformation[2], END_OF_FILE);
    data_unmap(view);
}

/* A page of a sparse file, for which the disk has no room, is there but cannot be had. */
static int write_on_full_disk(void)
{
    struct mm_data *data;
    uint8_t *view;
    int fd;

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", tempdir, "tmpfs", 0, "size=16k") != 0)
        return 77;
    fd = data_file("sparse", 0);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    data = data_of_file(fd, SIZE, PAGE_READWRITE);
    view = data_view(data, PAGE_READWRITE, 0, 0);
    for (uint32_t page = 0; page < PAGES; page++)
        if (run(WRITE, view + page * TEST_PAGE, 5) == CONTINUED) {
            assert_seen(IN_PAGE_ERROR, 1, view + page * TEST_PAGE, DISK_FULL);
            return page == 4 ? 0 : 1; /* what was written before stays */
        }
    return 2;
}

static void full_disk(void **state)
{
    pid_t child = fork();
    int code;

    if (child == 0)
        _exit(write_on_full_disk());
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFEXITED(code));
    if (WEXITSTATUS(code) == 77)
        skip(); /* not allowed to mount */
    assert_int_equal(WEXITSTATUS(code), 0);
}

/* Functions of the loader, and of the C library under them, that an image hands such a page to. */
static uintptr_t WINAPI_DEF builtin_that_reads(const volatile uint32_t *at)
{
    return *at;
}

static uintptr_t WINAPI_DEF builtin_that_copies(const void *from)
{
    static void *(*volatile copy)(void *, const void *, size_t) = memcpy;
    char to[64];

    return (uintptr_t)copy(to, from, sizeof(to));
}

static uintptr_t WINAPI_DEF builtin_that_fills(void *at)
{
    static void *(*volatile fill)(void *, int, size_t) = memset;

    return (uintptr_t)fill(at, 1, 64);
}

static uintptr_t WINAPI_DEF builtin_that_measures(const char *text)
{
    static size_t (*volatile measure)(const char *) = strlen;

    return measure(text);
}

static const void *const builtins[] = {builtin_that_reads, builtin_that_copies, builtin_that_fills,
                                       builtin_that_measures};
#define BUILTINS (sizeof(builtins) / sizeof(builtins[0]))

static void in_builtins(void **state)
{
    uint8_t *view = view_of_cut_file(PAGE_READWRITE);

    view[0x1100] = 0; /* the end of a text that is all there */
    for (size_t i = 0; i < BUILTINS; i++) {
        assert_int_equal(exception_of(CALL, view + 0x2000, builtins[i]), IN_PAGE_ERROR);
        assert_int_equal(seen.ExceptionInformation[0], builtins[i] == (void *)builtin_that_fills);
        assert_int_equal(seen.ExceptionInformation[1] & ~(uintptr_t)0xFFF,
                         (uintptr_t)view + 0x2000);
        assert_int_equal(exception_of(CALL, view + 0x1000, builtins[i]), 0);
    }
    data_unmap(view);
}

/* ---- SEC_RESERVE --------------------------------------------------------------------------------
 */

static uint32_t commit[(PAGES + 31) / 32];

static struct mm_data *reserved(void)
{
    memset(commit, 0, sizeof(commit));
    return data_of_memory(SIZE, PAGE_EXECUTE_READWRITE, SEC_RESERVE, commit);
}

static void reserved_pages(void **state)
{
    struct mm_data *data = reserved();
    uint8_t *one = data_view(data, PAGE_READWRITE, 0, 0);
    uint8_t *two = data_view(data, PAGE_READWRITE, 0, 0);

    /* Committed by nobody. */
    assert_int_equal(run(READ, two + 0x1004, 0), CONTINUED);
    assert_seen(ACCESS_VIOLATION, 0, two + 0x1004, 0);
    assert_int_equal(run(WRITE, two + 0x1004, 0), CONTINUED);
    assert_seen(ACCESS_VIOLATION, 1, two + 0x1004, 0);
    for (size_t i = 0; i < BUILTINS; i++)
        assert_int_equal(exception_of(CALL, two + 0x1000, builtins[i]), ACCESS_VIOLATION);
    /* Committed through the other view: no call is needed, and nobody sees an exception. */
    assert_status(data_commit(one + 0x1000, 0x1000, PAGE_READWRITE), STATUS_SUCCESS);
    memset(one + 0x1000, 0x31, 0x1000);
    assert_int_equal(run(READ, two + 0x1004, 0), 0x31313131);
    assert_int_equal(times, 0);
    assert_int_equal(run(READ, two + 0x2004, 0), CONTINUED);
    assert_seen(ACCESS_VIOLATION, 0, two + 0x2004, 0);
    data_unmap(one);
    data_unmap(two);
    mm_data_unref(data);
}

static void reserved_pages_in_builtins(void **state)
{
    struct mm_data *data = reserved();
    uint8_t *one = data_view(data, PAGE_READWRITE, 0, 0);

    for (size_t i = 0; i < BUILTINS; i++) {
        uint8_t *two = data_view(data, PAGE_READWRITE, 0, 0), *at = two + i * 0x1000;

        assert_status(data_commit(one + i * 0x1000, 0x1000, PAGE_READWRITE), STATUS_SUCCESS);
        assert_int_equal(exception_of(CALL, at, builtins[i]), 0);
        data_unmap(two);
    }
    data_unmap(one);
    mm_data_unref(data);
}

/* A page that is committed, but not for this access. */
static void reserved_page_of_reader(void **state)
{
    struct mm_data *data = reserved();
    uint8_t *one = data_view(data, PAGE_READWRITE, 0, 0);
    uint8_t *two = data_view(data, PAGE_READONLY, 0, 0);

    assert_status(data_commit(one, 0x1000, PAGE_READWRITE), STATUS_SUCCESS);
    assert_int_equal(run(WRITE, two + 4, 1), CONTINUED);
    assert_seen(ACCESS_VIOLATION, 1, two + 4, 0);
    assert_int_equal(run(READ, two + 4, 0), 0);
    assert_int_equal(times, 0);
    data_unmap(one);
    data_unmap(two);
    mm_data_unref(data);
}

/* Code in pages that were committed elsewhere, called in a view that may execute it. */
static void reserved_code(void **state)
{
    static const uint8_t seven[] = {0xB8, 7, 0, 0, 0};
    struct mm_data *data = reserved();
    uint8_t *one = data_view(data, PAGE_READWRITE, 0, 0);
    uint8_t *two = data_view(data, PAGE_EXECUTE_READ, 0, 0);

    assert_status(data_commit(one, 0x1000, PAGE_READWRITE), STATUS_SUCCESS);
    memcpy(one, seven, sizeof(seven));
    memcpy(one + sizeof(seven), epilogue, sizeof(epilogue));
    assert_int_equal(run(JUMP, two, 0), 7);
    assert_int_equal(times, 0);
    data_unmap(one);
    data_unmap(two);
    mm_data_unref(data);
}

/* The host's own code reads there, with no image above it: the page opens for it as well. */
static void reserved_page_of_host(void **state)
{
    struct mm_data *data = reserved();
    uint8_t *one = data_view(data, PAGE_READWRITE, 0, 0);
    volatile uint8_t *two = data_view(data, PAGE_READWRITE, 0, 0);

    ke_fault_install();
    assert_status(data_commit(one, 0x1000, PAGE_READWRITE), STATUS_SUCCESS);
    one[5] = 6;
    assert_int_equal(two[5], 6);
    data_unmap(one);
    data_unmap((const void *)two);
    mm_data_unref(data);
}

/* ---- while others change the record of regions --------------------------------------------------
 */

static atomic_bool stop;

static void *change_regions(void *unused)
{
    while (!atomic_load(&stop)) {
        uint64_t base = 0, size = 0x10000;

        assert_status(mm_alloc(&base, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, NULL),
                      STATUS_SUCCESS);
        test_query(base);
        assert_status(mm_free(base, 0, MEM_RELEASE, NULL), STATUS_SUCCESS);
    }
    return NULL;
}

static uint8_t *racing_view;
static pthread_barrier_t barrier;

static void *read_all(void *unused)
{
    uintptr_t sum = 0;

    for (uint32_t page = 0; page < PAGES; page++) {
        pthread_barrier_wait(&barrier);
        sum += ((volatile uint8_t *)racing_view)[page * TEST_PAGE];
    }
    return (void *)sum;
}

/* Two threads fault on one page at the same moment, and a third holds the lock now and then: all
 * reads succeed. */
static void racing_faults(void **state)
{
    struct mm_data *data = reserved();
    uint8_t *one = data_view(data, PAGE_READWRITE, 0, 0);
    pthread_t changer, readers[2];
    void *sum;

    ke_fault_install();
    assert_status(data_commit(one, SIZE, PAGE_READWRITE), STATUS_SUCCESS);
    memset(one, 3, SIZE);
    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&changer, NULL, change_regions, NULL), 0);
    for (int round = 0; round < 20; round++) {
        racing_view = NULL;
        memset(commit, 0, sizeof(commit)); /* so that mapping opens nothing */
        racing_view = data_view(data, PAGE_READWRITE, 0, 0);
        memset(commit, 0xFF, sizeof(commit));
        pthread_barrier_init(&barrier, NULL, 2);
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&readers[i], NULL, read_all, NULL), 0);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(pthread_join(readers[i], &sum), 0);
            assert_int_equal((uintptr_t)sum, 3 * PAGES);
        }
        pthread_barrier_destroy(&barrier);
        data_unmap(racing_view);
    }
    atomic_store(&stop, true);
    assert_int_equal(pthread_join(changer, NULL), 0);
    data_unmap(one);
    mm_data_unref(data);
}

/* ---- code of an image's own -------------------------------------------------------------------
 */

/* A fault of code that lies in a view is an image's, as in memory from VirtualAlloc. */
static void fault_of_code_in_a_view(void **state)
{
    struct mm_data *data = data_of_memory(0x1000, PAGE_EXECUTE_READWRITE, SEC_COMMIT, NULL);
    uint8_t *view = data_view(data, PAGE_EXECUTE_READWRITE, 0, 0);

    memcpy(view, prologue, sizeof(prologue));
    memcpy(view + sizeof(prologue), "\x8B\x01", 2);
    memcpy(view + sizeof(prologue) + 2, epilogue, sizeof(epilogue));
    assert_int_equal(exception_of(JUMP, view, NULL), 0); /* reads itself */
    memcpy(view + sizeof(prologue), "\x31\xC9\x8B\x01", 4);
    assert_int_equal(exception_of(JUMP, view, NULL), ACCESS_VIOLATION);
    assert_int_equal(seen.ExceptionInformation[1], 0);
    data_unmap(view);
    mm_data_unref(data);
}

static int set_up(void **state)
{
    static uint8_t blob[SLOTS * SLOT];
    struct ldr_module *module;

    memset(blob, 0xCC, sizeof(blob));
    for (size_t i = 0; i < SLOTS; i++) {
        uint8_t *slot = blob + i * SLOT;

        memcpy(slot, prologue, sizeof(prologue));
        memcpy(slot + sizeof(prologue), snippets[i].code, snippets[i].size);
        memcpy(slot + sizeof(prologue) + snippets[i].size, epilogue, sizeof(epilogue));
    }
    if (tempdir_create() | graph_register_host() | !nt_ok(ke_thread_enter(NULL)))
        return -1;
    graph_write(&(struct graph_spec){.file = "views.dll", .code = blob, .code_size = sizeof(blob)});
    ke_fault_install();
    builtin_handler = ke_add_vectored(1, (void *)note, false);
    module = graph_must_load("views.dll");
    if (!module)
        return -1;
    code_base = ldr_module_base(module) + ldr_module_image(module)->h.address_of_entry_point;
    return 0;
}

static int tear_down(void **state)
{
    ke_remove_vectored(builtin_handler);
    ldr_shutdown();
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_off),
        cmocka_unit_test(cut_off_code),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(in_builtins),
        cmocka_unit_test(reserved_pages),
        cmocka_unit_test(reserved_pages_in_builtins),
        cmocka_unit_test(reserved_page_of_reader),
        cmocka_unit_test(reserved_code),
        cmocka_unit_test(reserved_page_of_host),
        cmocka_unit_test(racing_faults),
        cmocka_unit_test(fault_of_code_in_a_view),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
