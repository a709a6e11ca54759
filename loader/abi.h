/*
 * The calling conventions of Windows code, for functions that images call or that call images.
 *
 * x86-64 has one convention. On i386 the Win32 API is stdcall and the C runtime cdecl; Windows
 * promises only 4-byte stack alignment there, so every builtin function realigns its stack.
 */
#ifndef LOADER_ABI_H
#define LOADER_ABI_H

/*
 * Functions that images call lie in an ELF section of their own, so that a walk over
 * the stack can tell peldr's own functions, which exceptions may cross, from those of the host.
 */
#define WIN_BUILTIN_SECTION "peldr_builtin"
#define WIN_BUILTIN         __attribute__((section(WIN_BUILTIN_SECTION)))

#if defined(__x86_64__)
#define WINAPI       __attribute__((ms_abi)) /* pointer types and definitions */
#define WINCDECL     __attribute__((ms_abi))
#define WINAPI_DEF   __attribute__((ms_abi)) WIN_BUILTIN /* definitions that images call */
#define WINCDECL_DEF __attribute__((ms_abi)) WIN_BUILTIN
typedef __builtin_ms_va_list win_va_list; /* as a va_list parameter of an image's call is passed */
#define win_va_start(ap, last) __builtin_ms_va_start(ap, last)
#define win_va_end(ap)         __builtin_ms_va_end(ap)
#elif defined(__i386__)
#define WINAPI                 __attribute__((stdcall))
#define WINCDECL               __attribute__((cdecl))
#define WINAPI_DEF             __attribute__((stdcall, force_align_arg_pointer)) WIN_BUILTIN
#define WINCDECL_DEF           __attribute__((cdecl, force_align_arg_pointer)) WIN_BUILTIN
typedef __builtin_va_list win_va_list;
#define win_va_start(ap, last) __builtin_va_start(ap, last)
#define win_va_end(ap)         __builtin_va_end(ap)
#else
#error "peldr runs images on x86-64 and i386 only"
#endif

#endif
