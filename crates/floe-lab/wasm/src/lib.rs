//! The engine in WebAssembly: what the page calls, by hand. `docs/design/lab.md` describes the exports.
//!
//! A module without a system has one thread, and one engine is enough for a page. The page writes a request into memory
//! that it got here, and reads the answer from memory that it gives back here.
//!
//! What the page hands over are numbers, and these functions believe them: nobody else can call them, and a page that lies
//! to its own module harms itself only. A panic ends the module; its text stays behind for `lab_panic`.

use std::cell::RefCell;

use floe_lab::Engine;

thread_local! {
    static ENGINE: RefCell<Engine> = RefCell::new(Engine::new());
    /// The text of the panic that ended this module, as a block.
    static PANIC: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Memory of `len` bytes for the page to write into; `lab_free` with the same length gives it back.
#[unsafe(no_mangle)]
pub extern "C" fn lab_alloc(len: usize) -> *mut u8 {
    let block: Box<[u8]> = vec![0; len].into_boxed_slice();
    Box::into_raw(block).cast::<u8>()
}

/// Gives memory back: what `lab_alloc` gave, with its length, or what `lab_call` gave, with 4 and the answer's length.
///
/// # Safety
///
/// `block` is such memory with exactly that length, and was not given back before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lab_free(block: *mut u8, len: usize) {
    let block = std::ptr::slice_from_raw_parts_mut(block, len);
    // SAFETY: both functions made it as a boxed slice of `len` bytes, and the caller says that it is not freed yet.
    drop(unsafe { Box::from_raw(block) });
}

/// Answers the request in these `len` bytes of UTF-8, which stay the caller's. The answer is a block that begins with
/// the length of the text that follows, as four bytes, little-endian.
///
/// # Safety
///
/// `request` points to `len` bytes that were written, as in memory from `lab_alloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lab_call(request: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller says that so many bytes are there, and nothing writes to them meanwhile: there is one thread.
    let request = unsafe { std::slice::from_raw_parts(request, len) };
    std::panic::set_hook(Box::new(|panic| {
        PANIC.with(|text| *text.borrow_mut() = block(&panic.to_string()));
    }));
    let answer = ENGINE.with(|engine| engine.borrow_mut().call(&String::from_utf8_lossy(request)));
    Box::into_raw(block(&answer).into_boxed_slice()).cast::<u8>()
}

/// After a call has trapped: the text of the panic, as a block that is not given back. The module is of no more use.
#[unsafe(no_mangle)]
pub extern "C" fn lab_panic() -> *const u8 {
    PANIC.with(|text| {
        let mut text = text.borrow_mut();
        if text.is_empty() {
            *text = block("");
        }
        text.as_ptr()
    })
}

/// A text behind its length.
fn block(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let mut block = Vec::with_capacity(4 + text.len());
    block.extend_from_slice(&length.to_le_bytes());
    block.extend_from_slice(text.as_bytes());
    block
}
