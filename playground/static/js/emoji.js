/**
 * Emoji shortcodes that apps of this kind use. A name that is not here stays as it was written.
 */
const EMOJI = Object.fromEntries(
  `+1 👍|thumbsup 👍|-1 👎|thumbsdown 👎|white_check_mark ✅|heavy_check_mark ✔️|ballot_box_with_check ☑️|x ❌|heavy_multiplication_x ✖️|no_entry ⛔
no_entry_sign 🚫|warning ⚠️|rotating_light 🚨|rocket 🚀|tada 🎉|hourglass ⌛|hourglass_flowing_sand ⏳|stopwatch ⏱️|alarm_clock ⏰
timer_clock ⏲️|clock1 🕐|clock3 🕒|calendar 📅|date 📅|spiral_calendar_pad 🗓️|lock 🔒|unlock 🔓|key 🔑|closed_lock_with_key 🔐
shield 🛡️|bell 🔔|no_bell 🔕|mega 📣|loudspeaker 📢|speech_balloon 💬|eyes 👀|eye 👁️|wave 👋|raised_hand ✋|hand ✋|raised_hands 🙌|clap 👏|pray 🙏
muscle 💪|point_right 👉|point_left 👈|point_up ☝️|point_down 👇|smile 😄|grinning 😀|slightly_smiling_face 🙂|wink 😉|thinking_face 🤔
sweat_smile 😅|cry 😢|heart ❤️|star ⭐|sparkles ✨|fire 🔥|boom 💥|zap ⚡|bulb 💡|memo 📝|pencil ✏️|pencil2 ✏️|clipboard 📋|page_facing_up 📄
scroll 📜|books 📚|book 📖|bookmark 🔖|label 🏷️|link 🔗|paperclip 📎|pushpin 📌|mag 🔍|mag_right 🔎|package 📦|gift 🎁|inbox_tray 📥
outbox_tray 📤|file_folder 📁|open_file_folder 📂|card_index_dividers 🗂️|file_cabinet 🗄️|bar_chart 📊|chart_with_upwards_trend 📈
chart_with_downwards_trend 📉|moneybag 💰|money_with_wings 💸|gear ⚙️|wrench 🔧|hammer 🔨|hammer_and_wrench 🛠️|nut_and_bolt 🔩|toolbox 🧰
construction 🚧|building_construction 🏗️|house 🏠|office 🏢|factory 🏭|door 🚪|bricks 🧱|seedling 🌱|evergreen_tree 🌲|herb 🌿|robot_face 🤖
computer 💻|desktop_computer 🖥️|floppy_disk 💾|cloud ☁️|snowflake ❄️|sunny ☀️|umbrella ☔|ocean 🌊|earth_africa 🌍|globe_with_meridians 🌐
whale 🐳|snake 🐍|penguin 🐧|bug 🐛|ambulance 🚑|fire_engine 🚒|ship 🚢|anchor ⚓|airplane ✈️|vertical_traffic_light 🚦|traffic_light 🚥
octagonal_sign 🛑|checkered_flag 🏁|triangular_flag_on_post 🚩|dart 🎯|trophy 🏆|first_place_medal 🥇|question ❓|grey_question ❔|exclamation ❗
grey_exclamation ❕|information_source ℹ️|recycle ♻️|repeat 🔁|arrows_counterclockwise 🔄|arrows_clockwise 🔃|leftwards_arrow_with_hook ↩️
arrow_right_hook ↪️|rewind ⏪|fast_forward ⏩|arrow_forward ▶️|arrow_backward ◀️|double_vertical_bar ⏸️|pause_button ⏸️|black_square_for_stop ⏹️
arrow_right ➡️|arrow_left ⬅️|arrow_up ⬆️|arrow_down ⬇️|arrow_upper_right ↗️|heavy_plus_sign ➕|heavy_minus_sign ➖|red_circle 🔴
large_orange_circle 🟠|large_yellow_circle 🟡|large_green_circle 🟢|large_blue_circle 🔵|large_purple_circle 🟣|white_circle ⚪|black_circle ⚫
large_green_square 🟩|large_red_square 🟥|large_yellow_square 🟨|white_large_square ⬜|black_large_square ⬛|small_blue_diamond 🔹|small_orange_diamond 🔸
bust_in_silhouette 👤|busts_in_silhouette 👥|technologist 🧑‍💻|judge 🧑‍⚖️|scales ⚖️|microscope 🔬|test_tube 🧪|satellite 🛰️|satellite_antenna 📡
electric_plug 🔌|battery 🔋|candle 🕯️|crystal_ball 🔮|wastebasket 🗑️|broom 🧹|thread 🧵|ticket 🎫|receipt 🧾|handshake 🤝|100 💯|new 🆕|ok 🆗|sos 🆘`
    .split(/[|\n]/)
    .map((entry) => entry.split(" ")),
);

/** The character of a shortcode's name (without colons), or null. */
export function emoji(name) {
  return Object.hasOwn(EMOJI, name) ? EMOJI[name] : null;
}

/** Plain text with the shortcodes that are known replaced. */
export function withEmoji(text) {
  return text.replace(/:([a-z0-9_+-]+):/g, (code, name) => emoji(name) ?? code);
}
