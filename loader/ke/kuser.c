/*
 * KUSER_SHARED_DATA: the page at 0x7FFE0000 that Windows shows every process.
 *
 * The kernel's clock has to seem to run in it, which costs a thread that ticks. So the page is
 * reserved only, and the first read (a fault) makes it, fills it, opens it and starts the ticker;
 * processes whose images never look pay nothing. Layout: ntddk.h's KUSER_SHARED_DATA as documented
 * by Microsoft.
 */
#include "loader/ke/kuser.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loader/ke/os.h"
#include "loader/ke/process.h"
#include "loader/mm/view.h"

#define TICK_100NS       156250u /* 15.625 ms, the resolution that Windows ticks with */
#define EPOCH_DIFFERENCE UINT64_C(116444736000000000) /* 1601 to 1970 in 100 ns */

static struct ke_kuser *page; /* the writable mapping, once it is made */
static bool reserved, opened;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct pe_error absent;

/* A reader takes High1Time, LowPart, High2Time and repeats when the high parts differ. */
static void put_time(struct ke_system_time *out, uint64_t value)
{
    __atomic_store_n(&out->High2Time, (int32_t)(value >> 32), __ATOMIC_RELEASE);
    __atomic_store_n(&out->LowPart, (uint32_t)value, __ATOMIC_RELEASE);
    __atomic_store_n(&out->High1Time, (int32_t)(value >> 32), __ATOMIC_RELEASE);
}

static uint64_t clock_100ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 10000000 + (uint64_t)now.tv_nsec / 100;
}

static void tick(void)
{
    uint64_t up = clock_100ns(CLOCK_BOOTTIME);
    put_time(&page->InterruptTime, up);
    put_time(&page->SystemTime, clock_100ns(CLOCK_REALTIME) + EPOCH_DIFFERENCE);
    put_time(&page->TickCount, up / TICK_100NS);
    page->TickCountLowDeprecated = (uint32_t)(up / TICK_100NS);
}

static void *ticker(void *unused)
{
    (void)unused;
    const struct timespec period = {0, TICK_100NS * 100};
    for (;;) {
        tick();
        nanosleep(&period, NULL);
    }
    return NULL;
}

/* Signals of the host are none of the ticker's business. */
static void start_ticker(void)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    pthread_create(&thread, &attributes, ticker, NULL); /* without it, time stands still */
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void fill(struct ke_kuser *p)
{
    static const char root[] = "C:\\Windows";
    struct timespec now;
    struct tm local = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    p->TickCountMultiplier = (uint32_t)(((uint64_t)TICK_100NS << 24) / 10000);
    put_time(&p->TimeZoneBias, (uint64_t)(-local.tm_gmtoff * INT64_C(10000000)));
    p->ImageNumberLow = p->ImageNumberHigh = KE_BY_WORD(0x8664, 0x14C);
    for (size_t i = 0; i < sizeof(root); i++)
        p->NtSystemRoot[i] = (uint16_t)root[i];
    p->LargePageMinimum = 0x200000;
    p->NtBuildNumber = ke_os()->build;
    p->NtProductType = 1; /* workstation */
    p->ProductTypeIsValid = 1;
    p->NativeProcessorArchitecture = KE_BY_WORD(9, 0);
    p->NtMajorVersion = ke_os()->major;
    p->NtMinorVersion = ke_os()->minor;
    for (uint32_t i = 0; i < 64; i++)
        p->ProcessorFeatures[i] = ke_processor_feature(i);
    p->SuiteMask = 0x100; /* a single interactive session */
    p->ActiveConsoleId = 1;
    p->NumberOfPhysicalPages = (uint32_t)sysconf(_SC_PHYS_PAGES);
    p->QpcFrequency = 10000000;
    p->Cookie = (uint32_t)(clock_100ns(CLOCK_REALTIME) * 2654435761u);
    p->ActiveProcessorCount = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    p->UnparkedProcessorCount = (uint16_t)p->ActiveProcessorCount;
    p->ActiveGroupCount = 1;
}

void ke_kuser_init(void)
{
    /* The address may be taken in a 32-bit host: images that read the page will fault there. */
    reserved = nt_ok(mm_mirror_reserve(KE_KUSER_ADDRESS, PE_PAGE_SIZE, &absent));
}

const char *ke_kuser_absent_because(void)
{
    return reserved ? "" : absent.text;
}

bool ke_kuser_waits(uintptr_t address)
{
    return reserved && address - KE_KUSER_ADDRESS < PE_PAGE_SIZE &&
           !__atomic_load_n(&opened, __ATOMIC_ACQUIRE);
}

static bool make(void)
{
    void *writable;
    if (!page && nt_ok(mm_mirror_back(KE_KUSER_ADDRESS, PE_PAGE_SIZE, &writable, NULL)))
        page = writable;
    return page != NULL;
}

/* `mutex` held. */
static bool open_page(void)
{
    uint64_t base = KE_KUSER_ADDRESS, size = PE_PAGE_SIZE;
    uint32_t old;
    if (!make())
        return false;
    fill(page);
    tick();
    return nt_ok(mm_protect(&base, &size, PAGE_READONLY, &old, NULL));
}

bool ke_kuser_fault(uintptr_t address, bool write)
{
    if (!reserved || write || address - KE_KUSER_ADDRESS >= PE_PAGE_SIZE)
        return false;
    pthread_mutex_lock(&mutex);
    if (!opened && open_page()) {
        __atomic_store_n(&opened, true, __ATOMIC_RELEASE);
        start_ticker();
    }
    pthread_mutex_unlock(&mutex);
    return opened;
}
