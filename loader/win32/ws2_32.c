/*
 * WS2_32.dll: starting up, last errors and byte order. Sockets are traps.
 *
 * The functions of Winsock 1.1 have had fixed ordinals since (Windows Sockets 1.1, appendix B), and
 * programs import them by ordinal, so those that are traps are listed for theirs.
 */
#include <arpa/inet.h>
#include <string.h>

#include "loader/ke/ke.h"
#include "loader/win32/smalldlls.h"

enum {
    WSAEFAULT = 10014,
    WSAVERNOTSUPPORTED = 10092,
    WSANOTINITIALISED = 10093,
    SOCKET_ERROR = -1,
    VERSION_2_2 = 0x0202, /* the major version is the low byte */
};

/* The two words hold the fields in different order (winsock2.h). */
struct wsa_data {
    WORD wVersion, wHighVersion;
#if defined(__x86_64__)
    USHORT iMaxSockets, iMaxUdpDg;
    char *lpVendorInfo;
#endif
    char szDescription[257], szSystemStatus[129];
#if !defined(__x86_64__)
    USHORT iMaxSockets, iMaxUdpDg;
    char *lpVendorInfo;
#endif
};

static int started;

/* 1.0, 1.1, 2.0, 2.1, 2.2; more than that gets 2.2, an unknown minor version the one below it. */
static WORD negotiate(WORD wanted)
{
    BYTE major = (BYTE)wanted, minor = (BYTE)(wanted >> 8), most = major == 1 ? 1 : 2;
    if (major > 2)
        return VERSION_2_2;
    return (WORD)((minor > most ? most : minor) << 8 | major);
}

static INT WINAPI_DEF ws_WSAStartup(WORD wanted, struct wsa_data *out)
{
    if ((wanted & 0xFF) == 0)
        return WSAVERNOTSUPPORTED;
    if (!out)
        return WSAEFAULT;
    memset(out, 0, sizeof(*out));
    out->wVersion = negotiate(wanted);
    out->wHighVersion = VERSION_2_2;
    strcpy(out->szDescription, "WinSock 2.0");
    strcpy(out->szSystemStatus, "Running");
    if ((out->wVersion & 0xFF) == 1) { /* later versions ignore both */
        out->iMaxSockets = 32767;
        out->iMaxUdpDg = 65467;
    }
    __atomic_add_fetch(&started, 1, __ATOMIC_RELAXED);
    return 0;
}

static INT WINAPI_DEF ws_WSACleanup(void)
{
    int count = __atomic_load_n(&started, __ATOMIC_RELAXED);
    while (count > 0 && !__atomic_compare_exchange_n(&started, &count, count - 1, false,
                                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    if (count > 0)
        return 0;
    ke_set_last_error(WSANOTINITIALISED);
    return SOCKET_ERROR;
}

/* The same per-thread value as GetLastError's. */
static INT WINAPI_DEF ws_WSAGetLastError(void)
{
    return (INT)ke_last_error();
}

static void WINAPI_DEF ws_WSASetLastError(INT error)
{
    ke_set_last_error((uint32_t)error);
}

static ULONG WINAPI_DEF ws_htonl(ULONG value)
{
    return htonl(value);
}

static USHORT WINAPI_DEF ws_htons(USHORT value)
{
    return htons(value);
}

static ULONG WINAPI_DEF ws_ntohl(ULONG value)
{
    return ntohl(value);
}

static USHORT WINAPI_DEF ws_ntohs(USHORT value)
{
    return ntohs(value);
}

#define AT(number, fn)                                               \
    {                                                                \
        .name = #fn, .ordinal = number, .kind = LDR_EXPORT_FUNCTION, \
        .address = (const void *)ws_##fn                             \
    }
#define TRAP(number, fn)                                        \
    {                                                           \
        .name = #fn, .ordinal = number, .kind = LDR_EXPORT_TRAP \
    }

const struct ldr_builtin_export ws2_32_exports[] = {
    AT(8, htonl),
    AT(9, htons),
    AT(14, ntohl),
    AT(15, ntohs),
    AT(111, WSAGetLastError),
    AT(112, WSASetLastError),
    AT(115, WSAStartup),
    AT(116, WSACleanup),
    TRAP(1, accept),
    TRAP(2, bind),
    TRAP(3, closesocket),
    TRAP(4, connect),
    TRAP(5, getpeername),
    TRAP(6, getsockname),
    TRAP(7, getsockopt),
    TRAP(10, ioctlsocket),
    TRAP(11, inet_addr),
    TRAP(12, inet_ntoa),
    TRAP(13, listen),
    TRAP(16, recv),
    TRAP(17, recvfrom),
    TRAP(18, select),
    TRAP(19, send),
    TRAP(20, sendto),
    TRAP(21, setsockopt),
    TRAP(22, shutdown),
    TRAP(23, socket),
    TRAP(51, gethostbyaddr),
    TRAP(52, gethostbyname),
    TRAP(53, getprotobyname),
    TRAP(54, getprotobynumber),
    TRAP(55, getservbyname),
    TRAP(56, getservbyport),
    TRAP(57, gethostname),
    TRAP(101, WSAAsyncSelect),
    TRAP(102, WSAAsyncGetHostByAddr),
    TRAP(103, WSAAsyncGetHostByName),
    TRAP(104, WSAAsyncGetProtoByNumber),
    TRAP(105, WSAAsyncGetProtoByName),
    TRAP(106, WSAAsyncGetServByPort),
    TRAP(107, WSAAsyncGetServByName),
    TRAP(108, WSACancelAsyncRequest),
    TRAP(109, WSASetBlockingHook),
    TRAP(110, WSAUnhookBlockingHook),
    TRAP(113, WSACancelBlockingCall),
    TRAP(114, WSAIsBlocking),
    TRAP(151, __WSAFDIsSet),
};
const size_t ws2_32_count = sizeof(ws2_32_exports) / sizeof(*ws2_32_exports);
