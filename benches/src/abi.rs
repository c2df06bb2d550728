//! libpeerkit as a C program uses it: loaded from the shared library, called by C functions.
#![allow(unsafe_code)] // Calling C functions is what this is about.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ops::Deref;
use std::path::PathBuf;

use serde_json::Value;

use crate::Result;

type Start = unsafe extern "C" fn(*const c_char, u32, *mut u64) -> *mut c_char;
type Stop = unsafe extern "C" fn(u64, u32) -> *mut c_char;
type Status = unsafe extern "C" fn(u64) -> *mut c_char;
type Read = unsafe extern "C" fn(u64, *const c_char) -> *mut c_char;
type ReadPeer = unsafe extern "C" fn(u64, *const c_char, *const c_char) -> *mut c_char;
type Connect =
    unsafe extern "C" fn(u64, *const c_char, *const c_char, *const c_char, u32) -> *mut c_char;
type ActOnPeer = unsafe extern "C" fn(u64, *const c_char, *const c_char, u32) -> *mut c_char;
type Cancel = unsafe extern "C" fn(u64, u64) -> *mut c_char;
type EventsOpen = unsafe extern "C" fn(u64, *const c_char, *mut u64) -> *mut c_char;
type EventsNext = unsafe extern "C" fn(u64, u32) -> *mut c_char;
type EventsClose = unsafe extern "C" fn(u64) -> *mut c_char;
type Free = unsafe extern "C" fn(*mut c_char);

/// The deadline of every call that has one.
const TIMEOUT_MS: u32 = 60_000;
/// The variable that names the library to measure, where it isn't the one of this build.
const LIBRARY_VARIABLE: &str = "PEERKIT_LIB";

/// A started manager.
pub struct Node {
    lib: Lib,
    handle: u64,
    /// The reply of `peerkit_start`.
    pub started: Value,
}

/// A subscription to events, closed when dropped.
pub struct Events<'a> {
    lib: &'a Lib,
    handle: u64,
}

struct Lib {
    start: Start,
    stop: Stop,
    status: Status,
    list_peers: Read,
    get_peer_stats: Read,
    get_peer: ReadPeer,
    connect_peer: Connect,
    disconnect_peer: ActOnPeer,
    call: ActOnPeer,
    cancel: Cancel,
    events_open: EventsOpen,
    events_next: EventsNext,
    events_close: EventsClose,
    string_free: Free,
}

/// A reply, freed when dropped, as a C caller frees it.
pub struct Reply {
    text: *mut c_char,
    free: Free,
}

impl Deref for Reply {
    type Target = str;

    fn deref(&self) -> &str {
        // SAFETY: a reply is a NUL-terminated string until it is freed, in `drop`.
        unsafe { CStr::from_ptr(self.text) }.to_str().unwrap_or("")
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // SAFETY: the library gave this text, and it is freed only here.
        unsafe { (self.free)(self.text) }
    }
}

impl Reply {
    /// Tells whether it is a success, as plain C tells it.
    pub fn success(&self) -> bool {
        self.starts_with("{\"success\":true")
    }

    /// Reads the JSON of a success.
    pub fn json(&self) -> Result<Value> {
        if !self.success() {
            return Err(format!("peerkit: {}", &**self).into());
        }
        Ok(serde_json::from_str(self)?)
    }
}

impl Node {
    /// Loads the library and starts its manager.
    pub fn start(config: &str) -> Result<Node> {
        let lib = Lib::load()?;
        let mut handle = 0;
        let config = CString::new(config)?;
        // SAFETY: the configuration is a string, and the handle may be written.
        let reply = lib.reply(unsafe { (lib.start)(config.as_ptr(), TIMEOUT_MS, &mut handle) });
        let started = reply.json()?;
        drop(reply);
        Ok(Node { lib, handle, started })
    }

    pub fn stop(&self) -> Reply {
        // SAFETY: numbers only.
        self.lib.reply(unsafe { (self.lib.stop)(self.handle, TIMEOUT_MS) })
    }

    pub fn status(&self) -> Reply {
        // SAFETY: a number only.
        self.lib.reply(unsafe { (self.lib.status)(self.handle) })
    }

    pub fn list_peers(&self, options: &CStr) -> Reply {
        // SAFETY: the options are a string.
        self.lib.reply(unsafe { (self.lib.list_peers)(self.handle, options.as_ptr()) })
    }

    pub fn get_peer_stats(&self) -> Reply {
        // SAFETY: the options may be NULL.
        self.lib.reply(unsafe { (self.lib.get_peer_stats)(self.handle, std::ptr::null()) })
    }

    pub fn get_peer(&self, peer: &CStr) -> Reply {
        // SAFETY: the peer is a string, the options may be NULL.
        self.lib.reply(unsafe { (self.lib.get_peer)(self.handle, peer.as_ptr(), std::ptr::null()) })
    }

    pub fn connect_peer(&self, address: &CStr) -> Reply {
        self.connect_within(address, TIMEOUT_MS)
    }

    pub fn connect_within(&self, address: &CStr, timeout_ms: u32) -> Reply {
        let none = std::ptr::null();
        // SAFETY: the address is a string, the others may be NULL.
        self.lib.reply(unsafe {
            (self.lib.connect_peer)(self.handle, none, address.as_ptr(), none, timeout_ms)
        })
    }

    pub fn disconnect_peer(&self, peer: &CStr) -> Reply {
        let none = std::ptr::null();
        // SAFETY: the peer is a string, the options may be NULL.
        self.lib.reply(unsafe {
            (self.lib.disconnect_peer)(self.handle, peer.as_ptr(), none, TIMEOUT_MS)
        })
    }

    pub fn call(&self, method: &CStr, params: &CStr) -> Reply {
        // SAFETY: both are strings.
        self.lib.reply(unsafe {
            (self.lib.call)(self.handle, method.as_ptr(), params.as_ptr(), TIMEOUT_MS)
        })
    }

    pub fn cancel(&self, token: u64) -> Reply {
        // SAFETY: numbers only.
        self.lib.reply(unsafe { (self.lib.cancel)(self.handle, token) })
    }

    /// Subscribes to events.
    pub fn events(&self, options: &CStr) -> Result<Events<'_>> {
        let mut handle = 0;
        // SAFETY: the options are a string, and the handle may be written.
        let opened = unsafe { (self.lib.events_open)(self.handle, options.as_ptr(), &mut handle) };
        self.lib.reply(opened).json()?;
        Ok(Events { lib: &self.lib, handle })
    }
}

impl Events<'_> {
    pub fn next(&self, timeout_ms: u32) -> Reply {
        // SAFETY: numbers only.
        self.lib.reply(unsafe { (self.lib.events_next)(self.handle, timeout_ms) })
    }
}

impl Drop for Events<'_> {
    fn drop(&mut self) {
        // SAFETY: a number only.
        drop(self.lib.reply(unsafe { (self.lib.events_close)(self.handle) }));
    }
}

/// Looks a function up by its C name; the type comes from the field it goes to.
macro_rules! symbol {
    ($library:ident, $name:literal) => {{
        let address = find($library, $name)?;
        // SAFETY: the symbol is the C function of this name, whose type include/peerkit.h gives.
        unsafe { std::mem::transmute(address) }
    }};
}

impl Lib {
    #[allow(clippy::missing_transmute_annotations)] // The fields' types say it.
    fn load() -> Result<Lib> {
        let path = library_path()?;
        let name = CString::new(path.to_string_lossy().as_bytes())?;
        // SAFETY: the name is a string; the library has no initialisers that need anything.
        let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            return Err(format!("can't load {}: run `make lib`", path.display()).into());
        }
        Ok(Lib {
            start: symbol!(library, c"peerkit_start"),
            stop: symbol!(library, c"peerkit_stop"),
            status: symbol!(library, c"peerkit_status"),
            list_peers: symbol!(library, c"peerkit_list_peers"),
            get_peer_stats: symbol!(library, c"peerkit_get_peer_stats"),
            get_peer: symbol!(library, c"peerkit_get_peer"),
            connect_peer: symbol!(library, c"peerkit_connect_peer"),
            disconnect_peer: symbol!(library, c"peerkit_disconnect_peer"),
            call: symbol!(library, c"peerkit_call"),
            cancel: symbol!(library, c"peerkit_cancel"),
            events_open: symbol!(library, c"peerkit_events_open"),
            events_next: symbol!(library, c"peerkit_events_next"),
            events_close: symbol!(library, c"peerkit_events_close"),
            string_free: symbol!(library, c"peerkit_string_free"),
        })
    }

    fn reply(&self, text: *mut c_char) -> Reply {
        Reply { text, free: self.string_free }
    }
}

fn find(library: *mut c_void, name: &CStr) -> Result<*mut c_void> {
    // SAFETY: the library is open, and the name is a string.
    let address = unsafe { libc::dlsym(library, name.as_ptr()) };
    if address.is_null() {
        return Err(format!("the library has no {}", name.to_string_lossy()).into());
    }
    Ok(address)
}

/// Returns the library beside this program, or the one the environment names.
pub fn library_path() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(LIBRARY_VARIABLE) {
        return Ok(path.into());
    }
    Ok(std::env::current_exe()?.with_file_name("libpeerkit.so"))
}
