//! The screen and the keys. However it ends (a key, an error, a panic, a signal), the terminal is given
//! back as it was.

use std::{
    io::{self, Stdout},
    panic,
    time::Duration,
};

use crossterm::{
    cursor::Show,
    event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use futures::StreamExt as _;
use ratatui::{Terminal, backend::CrosstermBackend};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    time::sleep,
};

use super::{
    frame::Frame,
    reader::Reader,
    view::{self, Screen},
};
use crate::cli::Failure;

/// Looks until a person or a signal ends it.
pub(super) async fn run(reader: Reader, every: Duration) -> Result<(), Failure> {
    let mut signals = Signals::take()?;
    let mut taken = Taken::take()?;
    let mut keys = EventStream::new();
    let (paused, pauses) = watch::channel(false);
    let (found, mut frames) = mpsc::channel(1);
    // Beside the screen, so that a server that hangs keeps no key waiting.
    tokio::spawn(look(reader, every, pauses, found));
    let mut screen = Screen {
        frame: None,
        every,
        paused: false,
    };
    loop {
        taken.terminal.draw(|canvas| view::draw(canvas, &screen))?;
        tokio::select! {
            () = signals.any() => return Ok(()),
            event = keys.next() => match event {
                Some(event) => match order(&event?) {
                    Some(Order::Quit) => return Ok(()),
                    Some(Order::Pause) => {
                        screen.paused = !screen.paused;
                        paused.send_replace(screen.paused);
                    }
                    // Another size is drawn anew, as is everything.
                    None => {}
                },
                None => return Ok(()),
            },
            frame = frames.recv() => match frame {
                Some(frame) => screen.frame = Some(frame),
                None => return Err(io::Error::other("the looks have ended").into()),
            },
        }
    }
}

/// Takes look after look while nobody stopped it and somebody wants them.
async fn look(
    mut reader: Reader,
    every: Duration,
    mut pauses: watch::Receiver<bool>,
    found: mpsc::Sender<Frame>,
) {
    while pauses.wait_for(|paused| !*paused).await.is_ok() {
        let frame = reader.read().await;
        if found.send(frame).await.is_err() {
            return;
        }
        sleep(every).await;
    }
}

/// What a key means.
#[derive(Debug, PartialEq, Eq)]
enum Order {
    Quit,
    Pause,
}

fn order(event: &Event) -> Option<Order> {
    let Event::Key(KeyEvent {
        code,
        modifiers,
        kind: KeyEventKind::Press,
        ..
    }) = event
    else {
        return None;
    };
    match code {
        KeyCode::Char('q') | KeyCode::Esc => Some(Order::Quit),
        // In raw mode it is a key and no signal.
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Some(Order::Quit),
        KeyCode::Char('p') => Some(Order::Pause),
        _ => None,
    }
}

/// The signals that end it.
struct Signals([Signal; 3]);

impl Signals {
    fn take() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// A terminal in raw mode, on its other screen, until this is dropped.
struct Taken {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Taken {
    fn take() -> io::Result<Self> {
        // The message of a panic belongs on the screen that stays.
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        enable_raw_mode()?;
        let entered = execute!(io::stdout(), EnterAlternateScreen);
        let terminal = entered.and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match terminal {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

/// Nothing is to be done where the terminal is gone.
fn give_back() {
    disable_raw_mode().ok();
    execute!(io::stdout(), LeaveAlternateScreen, Show).ok();
}

#[cfg(test)]
mod tests;
