//! Boots a machine without an operating system and runs one statically linked Linux program on it: just enough of a
//! kernel for a test binary, which it holds as data. Everything runs in ring 0, with memory mapped as it is and without
//! interrupts; a fault resets the machine. Built and booted by `tools/check-vnni`.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

static PROGRAM: &[u8] = include_bytes!(env!("PROGRAM"));
/// The program's arguments, with blanks between them.
static ARGUMENTS: &str = env!("ARGUMENTS");
/// The emulated processor does not tell the sizes of its caches, from which the C library derives when to copy in other ways.
static ENVIRONMENT: &[u8] =
    b"GLIBC_TUNABLES=glibc.cpu.x86_data_cache_size=0x8000:glibc.cpu.x86_shared_cache_size=0x100000:\
glibc.cpu.x86_non_temporal_threshold=0xc0000\0";

/// Memory that is handed out, never taken back: 256 MiB to 2,000 MiB.
static mut FREE: u64 = 256 << 20;
const END: u64 = 2000 << 20;

// From the Multiboot loader's 32 bits to 64, with FXSAVE, XSAVE and AVX-512 allowed and the first 4 GiB mapped as they are;
// and the entry for `syscall`, which saves what Linux would.
global_asm!(
    r#"
.section .boot,"ax"
.code32
.balign 4
multiboot:
    .long 0x1BADB002, 0x10000, -(0x1BADB002 + 0x10000)
    .long multiboot, load_start, load_end, bss_end, start
start:
    cli
    mov $stack_top, %esp
    mov $p4, %edi
    xor %eax, %eax
    mov $6144, %ecx
    rep stosl
    mov $p3 + 3, %eax
    mov %eax, p4
    mov $p2 + 3, %eax
    mov $p3, %edi
    mov $4, %ecx
1:  mov %eax, (%edi)
    add $0x1000, %eax
    add $8, %edi
    loop 1b
    mov $0x83, %eax
    mov $p2, %edi
    mov $2048, %ecx
1:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b
    mov $p4, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x40620, %eax
    mov %eax, %cr4
    mov $0xC0000080, %ecx
    rdmsr
    or $0x101, %eax
    wrmsr
    mov %cr0, %eax
    and $~4, %eax
    or $0x80000002, %eax
    mov %eax, %cr0
    lgdt gdtr
    ljmp $8, $long
.code64
long:
    xor %eax, %eax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    xor %ecx, %ecx
    mov $7, %eax
    cpuid
    mov $7, %eax
    bt $16, %ebx
    jnc 1f
    mov $0xE7, %eax
1:  xor %ecx, %ecx
    xor %edx, %edx
    xsetbv
    mov $stack_top, %rsp
    call main
syscall_entry:
    mov %rsp, user_stack
    mov $stack_top, %rsp
    push %r11
    push %rcx
    push user_stack
    push %r15
    push %r14
    push %r13
    push %r12
    push %r10
    push %r9
    push %r8
    push %rbp
    push %rdi
    push %rsi
    push %rdx
    push %rbx
    push %rax
    fxsave64 vectors
    mov %rsp, %rdi
    cld
    call system_call
    fxrstor64 vectors
    pop %rax
    pop %rbx
    pop %rdx
    pop %rsi
    pop %rdi
    pop %rbp
    pop %r8
    pop %r9
    pop %r10
    pop %r12
    pop %r13
    pop %r14
    pop %r15
    pop user_stack
    pop %rcx
    popf
    mov user_stack, %rsp
    jmp *%rcx
.balign 8
gdt: .quad 0, 0x00AF9A000000FFFF
gdtr: .word 15
    .long gdt
.section .bss
.balign 4096
p4: .skip 4096
p3: .skip 4096
p2: .skip 16384
.balign 16
vectors: .skip 512
user_stack: .skip 8
.balign 16
stack: .skip 65536
stack_top:
"#,
    options(att_syntax)
);

unsafe extern "C" {
    fn syscall_entry();
}

fn out(port: u16, byte: u8) {
    // SAFETY: the ports used here are those of the serial line and of bochs itself.
    unsafe { asm!("out dx, al", in("dx") port, in("al") byte, options(nomem, nostack)) }
}

fn print(bytes: &[u8]) {
    for &byte in bytes {
        out(0xe9, byte);
    }
}

fn print_number(mut n: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return print(&digits[at..]);
        }
    }
}

/// Says how the program ended and ends the emulator.
fn shut_down(how: &str, code: u64) -> ! {
    print(b"\n== ");
    print(how.as_bytes());
    print(b" ");
    print_number(code);
    print(b"\n");
    for &byte in b"Shutdown" {
        out(0x8900, byte);
    }
    loop {
        core::hint::spin_loop();
    }
}

fn write_register(register: u32, value: u64) {
    // SAFETY: registers for `syscall` and the thread pointer.
    unsafe {
        asm!("wrmsr", in("ecx") register, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nostack));
    }
}

fn allocate(bytes: u64) -> u64 {
    // SAFETY: one thread.
    unsafe {
        let at = FREE;
        FREE += bytes.next_multiple_of(4096);
        if FREE > END {
            shut_down("out of memory for bytes:", bytes);
        }
        // The loader has been here.
        core::ptr::write_bytes(at as *mut u8, 0, bytes as usize);
        at
    }
}

fn field<const N: usize>(at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes[..N].copy_from_slice(&PROGRAM[at..at + N]);
    u64::from_le_bytes(bytes)
}

/// Loads the program, lays out its stack as Linux does, and enters it.
#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let (entry, headers, count) = (field::<8>(24), field::<8>(32) as usize, field::<2>(56) as usize);
    let mut header_address = 0;
    for header in (0..count).map(|i| headers + 56 * i) {
        let (offset, address) = (field::<8>(header + 8), field::<8>(header + 16));
        let (in_file, in_memory) = (field::<8>(header + 32) as usize, field::<8>(header + 40));
        if field::<4>(header) != 1 {
            continue;
        }
        if address < 128 << 20 || address + in_memory > 256 << 20 {
            shut_down("a segment out of place at", address);
        }
        if offset == 0 {
            header_address = address + headers as u64;
        }
        let bytes = &PROGRAM[offset as usize..][..in_file];
        // SAFETY: memory that nobody else uses, as checked above.
        unsafe {
            core::ptr::write_bytes(address as *mut u8, 0, in_memory as usize);
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, in_file);
        }
    }
    write_register(0xC000_0081, 8 << 32);
    write_register(0xC000_0082, syscall_entry as *const () as u64);
    write_register(0xC000_0084, 0);

    let mut words = [0u64; 64];
    let mut n = 1;
    for argument in ARGUMENTS.split(' ') {
        let copy = allocate(argument.len() as u64 + 1);
        // SAFETY: as many bytes as were asked for, and a 0 after them.
        unsafe { core::ptr::copy_nonoverlapping(argument.as_ptr(), copy as *mut u8, argument.len()) };
        words[n] = copy;
        n += 1;
    }
    words[0] = n as u64 - 1;
    words[n + 1] = ENVIRONMENT.as_ptr() as u64;
    // The ends of arguments and environment, then of the vector: program headers, page size, entry, random bytes.
    n += 3;
    let random = PROGRAM.as_ptr() as u64;
    for pair in [
        [3, header_address],
        [4, 56],
        [5, count as u64],
        [6, 4096],
        [9, entry],
        [23, 0],
        [25, random],
        [0, 0],
    ] {
        words[n..n + 2].copy_from_slice(&pair);
        n += 2;
    }
    let stack = allocate(8 << 20) + (8 << 20) - 4096;
    // SAFETY: the stack has room for the words, and the program begins as its header says.
    unsafe {
        core::ptr::copy_nonoverlapping(words.as_ptr(), stack as *mut u64, words.len());
        asm!("mov rsp, {}", "xor edx, edx", "xor ebp, ebp", "jmp {}", in(reg) stack, in(reg) entry, options(noreturn));
    }
}

/// What a program finds again after a system call.
#[derive(Clone, Copy)]
#[repr(C)]
struct Registers {
    rax: u64,
    rbx: u64,
    rdx: u64,
    rsi: u64,
    rdi: u64,
    rbp: u64,
    r8: u64,
    r9: u64,
    r10: u64,
    r12_to_r15: [u64; 4],
    rsp: u64,
    rip: u64,
    flags: u64,
}

/// Threads that wait for one that they started to end: a new thread runs at once, and to its end.
struct Waiting {
    registers: Registers,
    thread_pointer: u64,
    /// Where the thread that runs wants a 0 written when it ends.
    clear: u64,
}

static mut WAITING: [Option<Waiting>; 8] = [const { None }; 8];
static mut DEPTH: usize = 0;
static mut THREAD_POINTER: u64 = 0;
static mut TIME: u64 = 0;
static mut BREAK: u64 = 0;
static mut BREAK_END: u64 = 0;

const NO_ENTRY: u64 = -2i64 as u64;
const AGAIN: u64 = -11i64 as u64;
const NO_MEMORY: u64 = -12i64 as u64;
const NO_SUCH_CALL: u64 = -38i64 as u64;
const BREAK_BYTES: u64 = 64 << 20;

#[unsafe(no_mangle)]
extern "C" fn system_call(r: &mut Registers) {
    // SAFETY: one thread; pointers are those of the program, which is trusted.
    unsafe {
        r.rax = match r.rax {
            // write
            1 => {
                print(core::slice::from_raw_parts(r.rsi as *const u8, r.rdx as usize));
                r.rdx
            }
            // mmap, of anonymous memory
            9 => allocate(r.rsi),
            // brk, which tells the end as it is where it cannot move it
            12 => {
                if BREAK == 0 {
                    BREAK = allocate(BREAK_BYTES);
                    BREAK_END = BREAK + BREAK_BYTES;
                }
                if BREAK <= r.rdi && r.rdi <= BREAK_END {
                    BREAK = r.rdi;
                }
                BREAK
            }
            // mremap
            25 => NO_MEMORY,
            // poll, mprotect, munmap, sigaction, sigprocmask, madvise, yield, sigaltstack, prctl, set_tid_address,
            // set_robust_list, getpid, gettid
            7 | 10 | 11 | 13 | 14 | 24 | 28 | 131 | 157 | 273 => 0,
            39 | 186 | 218 => 1,
            // writev
            20 => {
                let parts = core::slice::from_raw_parts(r.rsi as *const [u64; 2], r.rdx as usize);
                for &[at, len] in parts {
                    print(core::slice::from_raw_parts(at as *const u8, len as usize));
                }
                parts.iter().map(|part| part[1]).sum()
            }
            // clone
            56 => {
                let id = 2 + DEPTH as u64;
                let registers = Registers { rax: id, ..*r };
                WAITING[DEPTH] = Some(Waiting { registers, thread_pointer: THREAD_POINTER, clear: r.r10 });
                DEPTH += 1;
                *(r.rdx as *mut u32) = id as u32;
                THREAD_POINTER = r.r8;
                write_register(0xC000_0100, r.r8);
                r.rsp = r.rsi;
                0
            }
            // exit, of a thread
            60 if DEPTH > 0 => {
                DEPTH -= 1;
                let Some(waiting) = WAITING[DEPTH].take() else { shut_down("nobody waits at", DEPTH as u64) };
                *(waiting.clear as *mut u32) = 0;
                THREAD_POINTER = waiting.thread_pointer;
                write_register(0xC000_0100, THREAD_POINTER);
                *r = waiting.registers;
                return;
            }
            60 | 231 => shut_down("exit status", r.rdi),
            // arch_prctl, of the thread pointer
            158 if r.rdi == 0x1002 => {
                THREAD_POINTER = r.rsi;
                write_register(0xC000_0100, r.rsi);
                0
            }
            // futex: waiting would be for ever
            202 if r.rsi & 0x7f == 1 || r.rsi & 0x7f == 10 => 0,
            202 if *(r.rdi as *const u32) != r.rdx as u32 => AGAIN,
            202 => shut_down("waits for ever at", r.rip),
            // clock_gettime: a millisecond a call
            228 => {
                TIME += 1;
                *(r.rsi as *mut [u64; 2]) = [TIME / 1000, TIME % 1000 * 1_000_000];
                0
            }
            // open, readlink
            2 | 89 | 257 | 267 => NO_ENTRY,
            // getrandom
            318 => {
                core::slice::from_raw_parts_mut(r.rdi as *mut u8, r.rsi as usize).fill(7);
                r.rsi
            }
            _ => NO_SUCH_CALL,
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    shut_down("panic in boot.rs", 1)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
    // SAFETY: as C's.
    unsafe { asm!("rep stosb", inout("rdi") to => _, in("al") byte as u8, inout("rcx") n => _) };
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: as C's.
    unsafe { asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") n => _) };
    to
}

/// The library of the compiler asks for it; nothing here unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
