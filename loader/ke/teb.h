/*
 * TEB, PEB and the process parameters as Windows 10 lays them out, for the word size of this build.
 *
 * Compiled Windows code reads these fields inline (gs:[0x30], gs:[0x58], fs:[0x18], ...), so
 * offsets are an interface and are asserted below. Fields that peldr never fills and nobody is
 * known to read are gaps whose sizes come from the offsets of the fields around them. Offsets: the
 * public symbols of ntdll of Windows 10 22H2, as Windows Internals and the debugger's "dt" show
 * them.
 */
#ifndef KE_TEB_H
#define KE_TEB_H

#include <stddef.h>
#include <stdint.h>

#ifdef __x86_64__
#define KE_BY_WORD(x64, i386) (x64)
#else
#define KE_BY_WORD(x64, i386) (i386)
#endif

#define KE_TLS_SLOTS           64   /* TEB.TlsSlots */
#define KE_TLS_EXPANSION_SLOTS 1024 /* behind TEB.TlsExpansionSlots */

struct ke_unicode_string {
    uint16_t Length, MaximumLength; /* bytes */
    uint16_t *Buffer;
};

/* RTL_BITMAP */
struct ke_bitmap {
    uint32_t SizeOfBitMap; /* bits */
    uint32_t *Buffer;
};

/* RTL_CRITICAL_SECTION: images initialise it statically and look into it. */
struct ke_critical_section {
    void *DebugInfo;
    int32_t LockCount;
    int32_t RecursionCount;
    uintptr_t OwningThread;
    void *LockSemaphore;
    uintptr_t SpinCount;
};

/* RTL_USER_PROCESS_PARAMETERS */
struct ke_process_parameters {
    uint32_t MaximumLength, Length, Flags, DebugFlags;
    void *ConsoleHandle;
    uint32_t ConsoleFlags;
    void *StandardInput, *StandardOutput, *StandardError;
    struct {
        struct ke_unicode_string DosPath;
        void *Handle;
    } CurrentDirectory;
    struct ke_unicode_string DllPath, ImagePathName, CommandLine;
    uint16_t *Environment;
    uint32_t StartingX, StartingY, CountX, CountY, CountCharsX, CountCharsY;
    uint32_t FillAttribute, WindowFlags, ShowWindowFlags;
    struct ke_unicode_string WindowTitle, DesktopInfo, ShellInfo, RuntimeData;
    struct {
        uint16_t Flags, Length;
        uint32_t TimeStamp;
        struct ke_unicode_string DosPath;
    } CurrentDirectories[32];
    uintptr_t EnvironmentSize, EnvironmentVersion;
    uint8_t gap_package[KE_BY_WORD(0x40, 0x14)];
};

struct ke_peb {
    uint8_t InheritedAddressSpace, ReadImageFileExecOptions, BeingDebugged, BitField;
    void *Mutant;
    void *ImageBaseAddress;
    void *Ldr;
    struct ke_process_parameters *ProcessParameters;
    void *SubSystemData;
    void *ProcessHeap;
    struct ke_critical_section *FastPebLock;
    void *AtlThunkSListPtr;
    void *IFEOKey;
    uint32_t CrossProcessFlags;
    void *KernelCallbackTable;
    uint32_t SystemReserved;
    uint32_t AtlThunkSListPtr32;
    void *ApiSetMap;
    uint32_t TlsExpansionCounter;
    struct ke_bitmap *TlsBitmap;
    uint32_t TlsBitmapBits[2];
    void *ReadOnlySharedMemoryBase, *SharedData, *ReadOnlyStaticServerData;
    void *AnsiCodePageData, *OemCodePageData, *UnicodeCaseTableData;
    uint32_t NumberOfProcessors;
    uint32_t NtGlobalFlag;
    int64_t CriticalSectionTimeout __attribute__((aligned(8)));
    uintptr_t HeapSegmentReserve, HeapSegmentCommit;
    uintptr_t HeapDeCommitTotalFreeThreshold, HeapDeCommitFreeBlockThreshold;
    uint32_t NumberOfHeaps, MaximumNumberOfHeaps;
    void **ProcessHeaps;
    void *GdiSharedHandleTable;
    void *ProcessStarterHelper;
    uint32_t GdiDCAttributeList;
    struct ke_critical_section *LoaderLock;
    uint32_t OSMajorVersion, OSMinorVersion;
    uint16_t OSBuildNumber, OSCSDVersion;
    uint32_t OSPlatformId;
    uint32_t ImageSubsystem, ImageSubsystemMajorVersion, ImageSubsystemMinorVersion;
    uintptr_t ActiveProcessAffinityMask;
    uint32_t GdiHandleBuffer[KE_BY_WORD(60, 34)];
    void *PostProcessInitRoutine;
    struct ke_bitmap *TlsExpansionBitmap;
    uint32_t TlsExpansionBitmapBits[32];
    uint32_t SessionId;
    uint64_t AppCompatFlags __attribute__((aligned(8)));
    uint64_t AppCompatFlagsUser;
    void *pShimData;
    void *AppCompatInfo;
    struct ke_unicode_string CSDVersion;
    void *ActivationContextData, *ProcessAssemblyStorageMap;
    void *SystemDefaultActivationContextData, *SystemAssemblyStorageMap;
    uintptr_t MinimumStackCommit;
    uint8_t gap_tail[KE_BY_WORD(0x7C8 - 0x320, 0x480 - 0x20C)];
} __attribute__((aligned(8)));

struct ke_teb {
    /* NT_TIB */
    void *ExceptionList;
    void *StackBase;  /* highest address */
    void *StackLimit; /* lowest address that is committed */
    void *SubSystemTib;
    void *FiberData;
    void *ArbitraryUserPointer;
    struct ke_teb *Self;

    void *EnvironmentPointer;
    uintptr_t ProcessId, ThreadId; /* ClientId */
    void *ActiveRpcHandle;
    void *ThreadLocalStoragePointer;
    struct ke_peb *ProcessEnvironmentBlock;
    uint32_t LastErrorValue;
    uint32_t CountOfOwnedCriticalSections;
    void *CsrClientThread, *Win32ThreadInfo;
    uint32_t User32Reserved[26], UserReserved[5];
    void *WOW32Reserved;
    uint32_t CurrentLocale;
    uint32_t FpSoftwareStatusRegister;
    uint8_t gap_system[KE_BY_WORD(0x2C0 - 0x110, 0x1A4 - 0xCC)];
    int32_t ExceptionCode;
    void *ActivationContextStackPointer;
    uint8_t gap_gdi[KE_BY_WORD(0x7D8 - 0x2D0, 0x6B4 - 0x1AC)];
    uintptr_t RealProcessId, RealThreadId;
    uint8_t gap_gl[KE_BY_WORD(0x1250 - 0x7E8, 0xBF4 - 0x6BC)];
    uint32_t LastStatusValue;
    struct ke_unicode_string StaticUnicodeString;
    uint16_t StaticUnicodeBuffer[261];
    void *DeallocationStack;
    void *TlsSlots[KE_TLS_SLOTS];
    void *TlsLinks[2];
    void *Vdm, *ReservedForNtRpc, *DbgSsReserved[2];
    uint32_t HardErrorMode;
    uint8_t gap_etw[KE_BY_WORD(0x1744 - 0x16B4, 0xF74 - 0xF2C)];
    uint32_t CurrentIdealProcessor;
    uint32_t GuaranteedStackBytes;
    void *ReservedForPerf, *ReservedForOle;
    uint32_t WaitingOnLoaderLock;
    void *SavedPriorityState, *ReservedForCodeCoverage, *ThreadPoolData;
    void **TlsExpansionSlots;
#ifdef __x86_64__
    void *DeallocationBStore, *BStoreLimit;
#endif
    uint32_t MuiGeneration, IsImpersonating;
    void *NlsCache, *pShimData;
    uint32_t HeapData;
    void *CurrentTransactionHandle, *ActiveFrame;
    void *FlsData;
    void *PreferredLanguages, *UserPrefLanguages, *MergedPrefLanguages;
    uint32_t MuiImpersonation;
    uint16_t CrossTebFlags, SameTebFlags;
    uint8_t gap_tail[KE_BY_WORD(0x1838 - 0x17F0, 0x1000 - 0xFCC)];
};

#define KE_AT(type, field, x64, i386) \
    _Static_assert(offsetof(struct type, field) == KE_BY_WORD(x64, i386), #type "." #field)
KE_AT(ke_teb, StackBase, 0x08, 0x04);
KE_AT(ke_teb, StackLimit, 0x10, 0x08);
KE_AT(ke_teb, Self, 0x30, 0x18);
KE_AT(ke_teb, ProcessId, 0x40, 0x20);
KE_AT(ke_teb, ThreadId, 0x48, 0x24);
KE_AT(ke_teb, ThreadLocalStoragePointer, 0x58, 0x2C);
KE_AT(ke_teb, ProcessEnvironmentBlock, 0x60, 0x30);
KE_AT(ke_teb, LastErrorValue, 0x68, 0x34);
KE_AT(ke_teb, CountOfOwnedCriticalSections, 0x6C, 0x38);
KE_AT(ke_teb, WOW32Reserved, 0x100, 0xC0);
KE_AT(ke_teb, CurrentLocale, 0x108, 0xC4);
KE_AT(ke_teb, ExceptionCode, 0x2C0, 0x1A4);
KE_AT(ke_teb, ActivationContextStackPointer, 0x2C8, 0x1A8);
KE_AT(ke_teb, RealProcessId, 0x7D8, 0x6B4);
KE_AT(ke_teb, LastStatusValue, 0x1250, 0xBF4);
KE_AT(ke_teb, StaticUnicodeBuffer, 0x1268, 0xC00);
KE_AT(ke_teb, DeallocationStack, 0x1478, 0xE0C);
KE_AT(ke_teb, TlsSlots, 0x1480, 0xE10);
KE_AT(ke_teb, TlsLinks, 0x1680, 0xF10);
KE_AT(ke_teb, HardErrorMode, 0x16B0, 0xF28);
KE_AT(ke_teb, GuaranteedStackBytes, 0x1748, 0xF78);
KE_AT(ke_teb, WaitingOnLoaderLock, 0x1760, 0xF84);
KE_AT(ke_teb, TlsExpansionSlots, 0x1780, 0xF94);
KE_AT(ke_teb, IsImpersonating, 0x179C, 0xF9C);
KE_AT(ke_teb, FlsData, 0x17C8, 0xFB4);
KE_AT(ke_teb, SameTebFlags, 0x17EE, 0xFCA);
_Static_assert(sizeof(struct ke_teb) == KE_BY_WORD(0x1838, 0x1000), "size of the TEB");

KE_AT(ke_peb, BeingDebugged, 0x02, 0x02);
KE_AT(ke_peb, ImageBaseAddress, 0x10, 0x08);
KE_AT(ke_peb, Ldr, 0x18, 0x0C);
KE_AT(ke_peb, ProcessParameters, 0x20, 0x10);
KE_AT(ke_peb, ProcessHeap, 0x30, 0x18);
KE_AT(ke_peb, FastPebLock, 0x38, 0x1C);
KE_AT(ke_peb, ApiSetMap, 0x68, 0x38);
KE_AT(ke_peb, TlsBitmap, 0x78, 0x40);
KE_AT(ke_peb, NumberOfProcessors, 0xB8, 0x64);
KE_AT(ke_peb, NtGlobalFlag, 0xBC, 0x68);
KE_AT(ke_peb, CriticalSectionTimeout, 0xC0, 0x70);
KE_AT(ke_peb, ProcessHeaps, 0xF0, 0x90);
KE_AT(ke_peb, LoaderLock, 0x110, 0xA0);
KE_AT(ke_peb, OSMajorVersion, 0x118, 0xA4);
KE_AT(ke_peb, OSBuildNumber, 0x120, 0xAC);
KE_AT(ke_peb, OSPlatformId, 0x124, 0xB0);
KE_AT(ke_peb, ImageSubsystem, 0x128, 0xB4);
KE_AT(ke_peb, ActiveProcessAffinityMask, 0x138, 0xC0);
KE_AT(ke_peb, PostProcessInitRoutine, 0x230, 0x14C);
KE_AT(ke_peb, TlsExpansionBitmapBits, 0x240, 0x154);
KE_AT(ke_peb, SessionId, 0x2C0, 0x1D4);
KE_AT(ke_peb, CSDVersion, 0x2E8, 0x1F0);
_Static_assert(sizeof(struct ke_peb) == KE_BY_WORD(0x7C8, 0x480), "size of the PEB");

KE_AT(ke_process_parameters, StandardInput, 0x20, 0x18);
KE_AT(ke_process_parameters, CurrentDirectory, 0x38, 0x24);
KE_AT(ke_process_parameters, DllPath, 0x50, 0x30);
KE_AT(ke_process_parameters, ImagePathName, 0x60, 0x38);
KE_AT(ke_process_parameters, CommandLine, 0x70, 0x40);
KE_AT(ke_process_parameters, Environment, 0x80, 0x48);
KE_AT(ke_process_parameters, WindowTitle, 0xB0, 0x70);
KE_AT(ke_process_parameters, EnvironmentSize, 0x3F0, 0x290);
#undef KE_AT

#endif
