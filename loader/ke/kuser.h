/*
 * KUSER_SHARED_DATA as images see it at its fixed address, and the processor features that it
 * lists.
 */
#ifndef KE_KUSER_H
#define KE_KUSER_H

#include <stddef.h>
#include <stdint.h>

#include "loader/ke/ke.h"
#include "loader/ke/teb.h"

#define KE_KUSER_ADDRESS 0x7FFE0000u

/* KSYSTEM_TIME */
struct ke_system_time {
    uint32_t LowPart;
    int32_t High1Time, High2Time;
};

struct ke_kuser {
    uint32_t TickCountLowDeprecated;
    uint32_t TickCountMultiplier;
    struct ke_system_time InterruptTime; /* 100 ns since boot */
    struct ke_system_time SystemTime;    /* 100 ns since 1601, UTC */
    struct ke_system_time TimeZoneBias;
    uint16_t ImageNumberLow, ImageNumberHigh;
    uint16_t NtSystemRoot[260];
    uint32_t MaxStackTraceDepth, CryptoExponent, TimeZoneId, LargePageMinimum;
    uint32_t AitSamplingValue, AppCompatFlag;
    uint32_t RNGSeedVersion[2];
    uint32_t GlobalValidationRunlevel;
    int32_t TimeZoneBiasStamp;
    uint32_t NtBuildNumber;
    uint32_t NtProductType;
    uint8_t ProductTypeIsValid, gap_269;
    uint16_t NativeProcessorArchitecture;
    uint32_t NtMajorVersion, NtMinorVersion;
    uint8_t ProcessorFeatures[64];
    uint32_t gap_2b4[7];
    uint32_t SuiteMask;
    uint8_t KdDebuggerEnabled, MitigationPolicies;
    uint16_t CyclesPerYield;
    uint32_t ActiveConsoleId, DismountCount, ComPlusPackage, LastSystemRITEventTickCount;
    uint32_t NumberOfPhysicalPages;
    uint8_t SafeBootMode, VirtualizationFlags, gap_2ee[2];
    uint32_t SharedDataFlags, gap_2f4[3];
    uint64_t QpcFrequency;
    uint32_t SystemCall, gap_30c[5];
    struct ke_system_time TickCount; /* units of 15.625 ms */
    uint32_t gap_32c;
    uint32_t Cookie;
    uint8_t gap_334[0x36A - 0x334];
    uint16_t UnparkedProcessorCount;
    uint8_t gap_36c[0x3C0 - 0x36C];
    uint32_t ActiveProcessorCount;
    uint8_t ActiveGroupCount;
};

_Static_assert(offsetof(struct ke_kuser, NtSystemRoot) == 0x30, "KUSER_SHARED_DATA");
_Static_assert(offsetof(struct ke_kuser, NtBuildNumber) == 0x260, "KUSER_SHARED_DATA");
_Static_assert(offsetof(struct ke_kuser, ProcessorFeatures) == 0x274, "KUSER_SHARED_DATA");
_Static_assert(offsetof(struct ke_kuser, KdDebuggerEnabled) == 0x2D4, "KUSER_SHARED_DATA");
_Static_assert(offsetof(struct ke_kuser, NumberOfPhysicalPages) == 0x2E8, "KUSER_SHARED_DATA");
_Static_assert(offsetof(struct ke_kuser, QpcFrequency) == 0x300, "KUSER_SHARED_DATA");
_Static_assert(offsetof(struct ke_kuser, TickCount) == 0x320, "KUSER_SHARED_DATA");
_Static_assert(offsetof(struct ke_kuser, Cookie) == 0x330, "KUSER_SHARED_DATA");
_Static_assert(offsetof(struct ke_kuser, ActiveProcessorCount) == 0x3C0, "KUSER_SHARED_DATA");

/* Why the page is not there; "" when it is. */
const char *ke_kuser_absent_because(void);

#endif
