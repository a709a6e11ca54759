/*
 * What compiled Windows code reads inline: the TEB and PEB through the segment register, and
 * KUSER_SHARED_DATA at its fixed address.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "loader/ke/ke.h"
#include "loader/ke/kuser.h"
#include "loader/ke/teb.h"
#include "loader/mm/view.h"

#ifdef __x86_64__
#define READ_TEB(offset, out) \
    __asm__ volatile("mov %%gs:(%1), %0" : "=r"(out) : "r"((uintptr_t)(offset)))
#else
#define READ_TEB(offset, out) \
    __asm__ volatile("mov %%fs:(%1), %0" : "=r"(out) : "r"((uintptr_t)(offset)))
#endif

static uintptr_t teb_word(size_t offset)
{
    uintptr_t value;
    READ_TEB(offset, value);
    return value;
}

static struct sigaction fault_handler; /* cmocka puts its own around every test */

static void the_segment_leads_to_the_teb(void **state)
{
    struct ke_teb *teb = ke_teb();
    assert_ptr_equal(teb_word(KE_BY_WORD(0x30, 0x18)), teb);
    assert_ptr_equal(teb_word(KE_BY_WORD(0x60, 0x30)), ke_peb());
    assert_int_equal(teb_word(KE_BY_WORD(0x40, 0x20)), getpid());
    assert_int_equal(teb_word(KE_BY_WORD(0x48, 0x24)), syscall(SYS_gettid));
#ifdef __i386__
    assert_int_equal(teb_word(0), 0xFFFFFFFF); /* the end of the handler chain */
#endif
}

static void stack_bounds_enclose_the_stack(void **state)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    assert_in_range(here, teb_word(KE_BY_WORD(0x10, 8)), teb_word(KE_BY_WORD(8, 4)) - 1);
}

static void last_error_is_the_field(void **state)
{
    ke_set_last_error(1234);
    assert_int_equal((uint32_t)teb_word(KE_BY_WORD(0x68, 0x34)), 1234);
    assert_false(ke_set_last_status(STATUS_ACCESS_DENIED));
    assert_int_equal(ke_last_error(), 5);
    assert_true(ke_set_last_status(STATUS_SUCCESS));
}

static void teb_and_peb_are_private_memory(void **state)
{
    struct mm_region region;
    assert_int_equal(mm_query((uintptr_t)ke_teb(), &region), STATUS_SUCCESS);
    assert_int_equal(region.protect, PAGE_READWRITE);
    assert_int_equal(region.type, MEM_PRIVATE);
    assert_int_equal(mm_query((uintptr_t)ke_peb(), &region), STATUS_SUCCESS);
    assert_int_equal(region.protect, PAGE_READWRITE);
}

static void the_peb_is_that_of_windows_10(void **state)
{
    struct ke_peb *peb = ke_peb();
    assert_int_equal(peb->BeingDebugged, 0);
    assert_int_equal(peb->OSMajorVersion, 10);
    assert_int_equal(peb->OSBuildNumber, 19045);
    assert_true(peb->NumberOfProcessors >= 1);
    assert_non_null(peb->Ldr);
    assert_non_null(peb->ProcessParameters);
    assert_int_equal(peb->ProcessParameters->Flags & 1, 1);
}

struct seen {
    struct ke_teb *teb;
    uintptr_t self, id, tid;
    nt_status status;
};

static void *attach_in_child(void *argument)
{
    struct seen *seen = argument;
    seen->status = ke_thread_attach(NULL);
    seen->teb = ke_teb();
    seen->self = teb_word(KE_BY_WORD(0x30, 0x18));
    seen->id = teb_word(KE_BY_WORD(0x48, 0x24));
    seen->tid = (uintptr_t)syscall(SYS_gettid);
    return NULL;
}

/* Linux gives a new thread its creator's segment base: being attached must not be inherited. */
static void a_child_thread_has_its_own_teb(void **state)
{
    struct seen seen[3] = {{0}};
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, attach_in_child, &seen[i]);
        pthread_join(thread, NULL);
        assert_int_equal(seen[i].status, STATUS_SUCCESS);
        assert_ptr_not_equal(seen[i].teb, ke_teb());
        assert_ptr_equal(seen[i].self, seen[i].teb);
        assert_int_equal(seen[i].id, seen[i].tid);
    }
    assert_ptr_equal(teb_word(KE_BY_WORD(0x30, 0x18)), ke_teb());
}

static void the_teb_goes_with_its_thread(void **state)
{
    struct seen seen = {0};
    struct mm_region region;
    pthread_t thread;
    pthread_create(&thread, NULL, attach_in_child, &seen);
    pthread_join(thread, NULL);
    assert_int_equal(mm_query((uintptr_t)seen.teb, &region), STATUS_SUCCESS);
    assert_int_equal(region.state, MEM_FREE);
}

static void a_forked_child_has_its_own_ids(void **state)
{
    pid_t child = fork();
    if (child == 0)
        _exit(teb_word(KE_BY_WORD(0x40, 0x20)) == (uintptr_t)getpid() &&
                      ke_thread_id() == (uint32_t)getpid()
                  ? 0
                  : 1);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static uint64_t read_time(const volatile struct ke_system_time *time)
{
    for (;;) {
        int32_t high = time->High1Time;
        uint32_t low = time->LowPart;
        if (high == time->High2Time)
            return (uint64_t)(uint32_t)high << 32 | low;
    }
}

static void user_shared_data_is_readable_and_its_clock_runs(void **state)
{
    const volatile struct ke_kuser *page = (const volatile struct ke_kuser *)KE_KUSER_ADDRESS;
    assert_string_equal(ke_kuser_absent_because(), "");
    sigaction(SIGSEGV, &fault_handler, NULL);
    assert_int_equal(page->NtMajorVersion, 10);
    assert_int_equal(page->NtBuildNumber, 19045);
    assert_int_equal(page->NtSystemRoot[0], 'C');
    assert_int_equal(page->ProcessorFeatures[10], 1); /* SSE2 */
    uint64_t unix_seconds = read_time(&page->SystemTime) / 10000000 - UINT64_C(11644473600);
    uint64_t now = (uint64_t)time(NULL);
    assert_in_range(unix_seconds, now - 2, now + 2);
    uint64_t before = read_time(&page->InterruptTime), ticks = read_time(&page->TickCount);
    usleep(100000);
    uint64_t passed = read_time(&page->InterruptTime) - before;
    assert_in_range(passed, 500000, 100000000); /* 50 ms at least, whatever the machine's load */
    assert_true(read_time(&page->TickCount) > ticks);
    /* GetTickCount's formula gives milliseconds since boot. */
    struct timespec up;
    clock_gettime(CLOCK_BOOTTIME, &up);
    uint64_t milliseconds = read_time(&page->TickCount) * page->TickCountMultiplier >> 24;
    uint64_t expected = (uint64_t)up.tv_sec * 1000 + (uint64_t)up.tv_nsec / 1000000;
    assert_in_range(milliseconds, expected - 1000, expected + 1000);
}

static void user_shared_data_stays_read_only(void **state)
{
    struct mm_region region;
    assert_int_equal(mm_query(KE_KUSER_ADDRESS, &region), STATUS_SUCCESS);
    assert_int_equal(region.protect, PAGE_READONLY);
}

static void parameters_follow_the_image(void **state)
{
    char *const argv[] = {"/opt/my tool.exe", "one", "two words", NULL};
    struct pe_error err = {0};
    setenv("PELDR_KE_TEST", "gr\xC3\xBC\xC3\x9F", 1);
    ke_process_set_std_handles(4, 8, 12);
    assert_int_equal(ke_process_set_image(0x400000, "/opt/my tool.exe", 3, argv, &err),
                     STATUS_SUCCESS);
    struct ke_process_parameters *parameters = ke_peb()->ProcessParameters;
    assert_ptr_equal(ke_peb()->ImageBaseAddress, 0x400000);
    assert_ptr_equal(parameters->StandardOutput, 8);
    static const char line[] = "\"/opt/my tool.exe\" one \"two words\"";
    assert_int_equal(parameters->CommandLine.Length, 2 * strlen(line));
    for (size_t i = 0; i <= strlen(line); i++)
        assert_int_equal(parameters->CommandLine.Buffer[i], line[i]);
    static const char path[] = "\\opt\\my tool.exe";
    assert_int_equal(parameters->ImagePathName.Length, 2 * (2 + strlen(path)));
    assert_int_equal(parameters->ImagePathName.Buffer[1], ':');
    for (size_t i = 0; i < strlen(path); i++)
        assert_int_equal(parameters->ImagePathName.Buffer[2 + i], path[i]);
    struct ke_unicode_string *directory = &parameters->CurrentDirectory.DosPath;
    assert_int_equal(directory->Buffer[directory->Length / 2 - 1], '\\');
}

static void the_environment_is_a_block_of_utf16(void **state)
{
    static const uint16_t wanted[] = {'P', 'E', 'L', 'D', 'R', '_', 'K',  'E',  '_', 'T',
                                      'E', 'S', 'T', '=', 'g', 'r', 0xFC, 0xDF, 0};
    struct ke_process_parameters *parameters = ke_peb()->ProcessParameters;
    const uint16_t *at = parameters->Environment;
    bool found = false;
    while (*at) {
        size_t length = 0;
        while (at[length])
            length++;
        found |= memcmp(at, wanted, sizeof(wanted)) == 0;
        at += length + 1;
    }
    assert_true(found);
    assert_int_equal((uintptr_t)(at + 1 - parameters->Environment) * 2,
                     parameters->EnvironmentSize);
}

int main(void)
{
    if (!nt_ok(ke_thread_attach(NULL)))
        return 1;
    sigaction(SIGSEGV, NULL, &fault_handler);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_segment_leads_to_the_teb),
        cmocka_unit_test(stack_bounds_enclose_the_stack),
        cmocka_unit_test(last_error_is_the_field),
        cmocka_unit_test(teb_and_peb_are_private_memory),
        cmocka_unit_test(the_peb_is_that_of_windows_10),
        cmocka_unit_test(a_child_thread_has_its_own_teb),
        cmocka_unit_test(the_teb_goes_with_its_thread),
        cmocka_unit_test(a_forked_child_has_its_own_ids),
        cmocka_unit_test(user_shared_data_is_readable_and_its_clock_runs),
        cmocka_unit_test(user_shared_data_stays_read_only),
        cmocka_unit_test(parameters_follow_the_image),
        cmocka_unit_test(the_environment_is_a_block_of_utf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
