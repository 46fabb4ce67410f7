//! Game days: a plan in Markdown understood, carried out as a session of people and measurements, judged.
