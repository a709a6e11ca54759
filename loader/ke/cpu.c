/*
 * Processor features by their PF_* number (winnt.h, IsProcessorFeaturePresent).
 *
 * One row a feature that CPUID answers for; the operating system's part (AVX, XSAVE) is asked from
 * XCR0. Features of the kernel that every Windows 10 machine has are constant rows.
 */
#include <cpuid.h>
#include <stddef.h>

#include "loader/ke/ke.h"

enum cpu_register { EAX, EBX, ECX, EDX, ALWAYS };

struct feature {
    uint8_t number;
    uint8_t leaf; /* low byte of the leaf: 1, 7, or 0x81 for 0x80000001 */
    uint8_t where, bit;
    uint32_t xcr0; /* state components that the kernel must have enabled */
};

static const struct feature features[] = {
    {2, 1, EDX, 8, 0},      /* PF_COMPARE_EXCHANGE_DOUBLE */
    {3, 1, EDX, 23, 0},     /* PF_MMX_INSTRUCTIONS_AVAILABLE */
    {6, 1, EDX, 25, 0},     /* PF_XMMI_INSTRUCTIONS_AVAILABLE (SSE) */
    {8, 1, EDX, 4, 0},      /* PF_RDTSC_INSTRUCTION_AVAILABLE */
    {9, 1, EDX, 6, 0},      /* PF_PAE_ENABLED */
    {10, 1, EDX, 26, 0},    /* PF_XMMI64_INSTRUCTIONS_AVAILABLE (SSE2) */
    {12, 0x81, EDX, 20, 0}, /* PF_NX_ENABLED */
    {13, 1, ECX, 0, 0},     /* PF_SSE3_INSTRUCTIONS_AVAILABLE */
    {14, 1, ECX, 13, 0},    /* PF_COMPARE_EXCHANGE128 */
    {17, 1, ECX, 27, 0},    /* PF_XSAVE_ENABLED (OSXSAVE) */
    {23, 0, ALWAYS, 0, 0},  /* PF_FASTFAIL_AVAILABLE */
    {28, 1, ECX, 30, 0},    /* PF_RDRAND_INSTRUCTION_AVAILABLE */
    {32, 0x81, EDX, 27, 0}, /* PF_RDTSCP_INSTRUCTION_AVAILABLE */
    {33, 7, ECX, 22, 0},    /* PF_RDPID_INSTRUCTION_AVAILABLE */
    {36, 1, ECX, 9, 0},     /* PF_SSSE3_INSTRUCTIONS_AVAILABLE */
    {37, 1, ECX, 19, 0},    /* PF_SSE4_1_INSTRUCTIONS_AVAILABLE */
    {38, 1, ECX, 20, 0},    /* PF_SSE4_2_INSTRUCTIONS_AVAILABLE */
    {39, 1, ECX, 28, 6},    /* PF_AVX_INSTRUCTIONS_AVAILABLE */
    {40, 7, EBX, 5, 6},     /* PF_AVX2_INSTRUCTIONS_AVAILABLE */
    {41, 7, EBX, 16, 0xE6}, /* PF_AVX512F_INSTRUCTIONS_AVAILABLE */
};

static uint32_t enabled_state(void)
{
    uint32_t eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx >> 27 & 1)) /* OSXSAVE */
        return 0;
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return eax;
}

static bool present(const struct feature *f)
{
    uint32_t r[4] = {0};
    if (f->where == ALWAYS)
        return true;
    uint32_t leaf = f->leaf == 0x81 ? 0x80000001u : f->leaf;
    if (!__get_cpuid_count(leaf, 0, &r[EAX], &r[EBX], &r[ECX], &r[EDX]))
        return false;
    return (r[f->where] >> f->bit & 1) && (enabled_state() & f->xcr0) == f->xcr0;
}

bool ke_processor_feature(uint32_t number)
{
    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
        if (features[i].number == number)
            return present(&features[i]);
    return false;
}
